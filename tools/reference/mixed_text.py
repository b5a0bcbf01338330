"""Seeded generator of mixed test text (no data files needed).

Used by make_tokenizer.py.  texts(seed, n, longest) returns n strings that
cover English sentences, code in several languages, digits, contractions,
accents, emoji (ZWJ sequences, flags, skin tones), CJK, Cyrillic, Arabic,
odd spaces, control-like strings, combining marks and very long words.
All words and lines are written for this file; everything non-ASCII is
spelled with escapes so that the source stays ASCII.
"""
import random

WORDS = """the a of and to in is that it was for on with as at by an old new river stone
window garden market teacher engine letter winter summer bridge paper silver music number
kitchen captain forest harbour question answer slowly quickly almost never always between
under beyond against because although carried opened measured forgot remembered wandered
builds breaks compares returns waits yellow quiet distant broken perfect seventeen twelve
unbelievable misunderstanding characteristically electroencephalogram Tuesday October Lisbon
Marta Igor NATO HTTP iPhone McDonald e-mail co-operate state-of-the-art naive""".split()
CONTRACTIONS = """don't can't I'm you're we've they'll she'd it's let's won't he's I'd we'll
o'clock rock'n'roll 'tis DON'T IT'S WE'LL I'M YOU'RE THEY'VE SHE'D 'sound 'til y'all'd've
'''' it''s 's 't 're 've 'm 'll 'd 'S 'Re 'LL 'x d'Artagnan""".split()
ACCENTED = ["caf\u00e9", "na\u00efve", "\u00dcbergr\u00f6\u00dfe", "stra\u00dfe", "\u0153uvre",
            "ni\u00f1o", "\u00bfqu\u00e9?", "\u00a1Ol\u00e9!", "sm\u00f8rrebr\u00f8d",
            "\u0141\u00f3d\u017a", "\u010de\u0161tina", "T\u00fcrk\u00e7e \u0130stanbul \u0131",
            "Vi\u1ec7t Nam ti\u1ebfng", "\u00e9l\u00e8ve \u00e0 l'\u00e9cole", "\u00c5ngstr\u00f6m",
            "l'\u017fong it'\u017f", "\ufb01nal \ufb02ow", "\u01c5 \u01c8 \u02b0\u02b2"]
COMBINING = ["e\u0301a\u0300o\u0308", "n\u0303", "Z\u0351\u036b\u0343a\u0310\u0312l\u030d\u0314go\u0321",
             "\u0915\u094d\u0937\u093f", "\u0939\u093f\u0928\u094d\u0926\u0940 \u092d\u093e\u0937\u093e",
             "\u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22", "\u1100\u1161\u11a8", "\u0301alone", "a\u20dd",
             "\u0ba4\u0bae\u0bbf\u0bb4\u0bcd", "x\u0336y\u0336"]
EMOJI = ["\U0001F600", "\U0001F468\u200D\U0001F469\u200D\U0001F467\u200D\U0001F466",
         "\U0001F44D\U0001F3FD", "\U0001F1EB\U0001F1F7", "\U0001F1EF\U0001F1F5\U0001F1E7\U0001F1F7",
         "\u2764\ufe0f", "\U0001F3F3\ufe0f\u200D\U0001F308", "1\ufe0f\u20e3",
         "\U0001F9D1\U0001F3FF\u200D\U0001F4BB", "\u2615", "\u2603\u2604", "\U0001F680\U0001F680",
         "\U0001F3F4\U000E0067\U000E0062\U000E0073\U000E0063\U000E0074\U000E007F"]
CJK = ["\u4f60\u597d\uff0c\u4e16\u754c\u3002", "\u4eca\u5929\u5929\u6c14\u5f88\u597d",
       "\u3053\u3093\u306b\u3061\u306f", "\u30c6\u30b9\u30c8\u30fc\u30b1\u30fc\u30b9",
       "\u6771\u4eac\u3078\u884c\u304f\u3002", "\uc548\ub155\ud558\uc138\uc694", "\ud55c\uad6d\uc5b4 \ubb38\uc7a5",
       "\uff21\uff22\uff23\uff11\uff12\uff13", "\u4e00\u4e8c\u4e09", "\u300c\u5f15\u7528\u300d",
       "\U00020000\U0002A6D6", "\uff76\uff9e\uff97\uff7d"]
SCRIPTS = ["\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440!", "\u0434\u043e\u043c \u0443 \u0440\u0435\u043a\u0438",
           "\u0429\u0438\u0442 \u0438 \u0401\u0436", "\u0437\u0430\u0432\u0442\u0440\u0430 \u0432 5 \u0447\u0430\u0441\u043e\u0432",
           "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645", "\u0627\u0644\u0639\u064e\u0631\u064e\u0628\u0650\u064a\u0651\u064e\u0629",
           "\u0661\u0662\u0663\u0664", "\u0633\u0644\u0627\u0645\u060c \u06f1\u06f2\u06f3", "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd",
           "\u039a\u03b1\u03bb\u03b7\u03bc\u03ad\u03c1\u03b1 \u03ba\u03cc\u03c3\u03bc\u03b5", "\u10d2\u10d0\u10db\u10d0\u10e0\u10ef\u10dd\u10d1\u10d0",
           "\u0540\u0561\u0575\u0565\u0580\u0565\u0576", "\u1230\u120b\u121d", "\U00010330\U00010331", "\U0001D54F\U0001D552\U0001D7D8"]
SPACES = [" ", "  ", "   ", "\t", "\t\t", "\n", "\n\n", "\n\n\n", "\r\n", "\r\n\r\n", "\r", "\u00a0", "\u00a0\u00a0",
          "\u3000", "\u2003", "\u2009", "\u202f", "\u200b", "\u200d", "\ufeff", "\u2028", "\u2029", "\u0085", "\u180e",
          "\x0b", "\x0c", "\x1c", "\x1f", " \n", "\n ", " \n \n ", "\t \t", "        ", " \u00a0 ", "    \n    ", "\u1680",
          "\x00", "\x07", "\x7f", "\u00ad"]
# bytes without a token in some byte-level vocabularies
RARE = ["\x04", "a\x06b", "\x13 x", "!\x04!", "\x14\x16\x1d", "x\U00050000y", " \x1d ", "\U000B0001", "\U0010FFFD"]
CONTROL = ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|im_start|>user\nHi<|im_end|>\n", "<repo_name>", "<file_sep>",
           "<jupyter_code>", "<empty_output>", "<|im_start", "im_end|>", "<s>", "</s>", "[INST]", "<|eot_id|>", "<0x0A>",
           "\\n\\t", "%s%d", "&nbsp;", "\\u00e9", "\u0120the", "\u010a", "\u2581word", "\ufffd", "\ufffe", "\ue000"]
PUNCT = ["!", "?!", "...", "\u2026", "--", "\u2014", "(a)", "[b]", "{c}", "\"q\"", "\u201cquoted\u201d", "\u2018q\u2019", "don\u2019t",
         "#1", "@you", "$5.00", "\u20ac12,50", "50%", "a/b", "a\\b", "x_y", "**bold**", "===", "<=>", "->", "::", ";;", "~~", "\u00a7 7",
         "\u00b0C", "\u00d7", "\u2192", "\u2211\u222b", "\u00b5m", "|", "_", "__init__", "'", "\"", "`x`", "//", "/*", "*/", "\u00ab x \u00bb"]
NUMBERS = ["7", "42", "007", "1999", "31415926535", "3.14159", "-17", "1,234,567", "1e-9", "0x7fFF", "12:30", "2024-02-29",
           "192.168.0.1", "v1.2.3", "4th", "n0t", "a1b2c3", "\u00bd", "x\u00b2", "\u2167", "\u2460", "10 000", "1\u00a0000", "\u0967\u0968", "H2O"]
CODE = ["def f(x, *args):\n    return [x ** 2 for _ in args if x != 0]\n", "for (int i = 0; i < n; ++i) {\n\tsum += a[i] * b[i];\n}\n",
        "#include <vector>\nstd::unique_ptr<Node> p{nullptr};\n", "fn main() -> Result<(), E> {\n    let v: Vec<u8> = vec![0; 16];\n    Ok(())\n}\n",
        "const g = async (x) => { await h(`${x}`); };\n", "SELECT name, COUNT(*) FROM t WHERE id >= 10 GROUP BY name;\n",
        "if [ -z \"$HOME\" ]; then\n  echo \"none\" >&2\nfi\n", "{\"key\": [1, 2.5, null, true], \"k2\": {\"a\": \"\\n\"}}\n",
        "<div class=\"row\"><a href='#x'>link</a></div>\n", "\\begin{align} x &= \\frac{1}{2} \\\\ \\end{align}\n",
        "package main\n\nfunc (s *S) Get() (int, error) { return 0, nil }\n", "- item\n  - sub\n    * deep\n1. one\n",
        "| a | b |\n|---|:-:|\n| 1 | 2 |\n", "x = {'a': 1}\n\n\nclass A(B):\n\t\"\"\"doc\"\"\"\n\n\tpass\n", "int main(void){return(0);}//end",
        "map . filter (>3) $ [1..10]\n", "mov eax, [ebx+4*ecx]\njmp .L2\n", "s/^\\s+(.*?)\\s*$/$1/g;", "key: value # comment\nlist: [a, b]\n"]


def sentence(r):
    n = r.randrange(3, 16)
    w = [r.choice(CONTRACTIONS) if r.random() < .08 else r.choice(WORDS) for _ in range(n)]
    if r.random() < .3:
        w.insert(r.randrange(n), r.choice(NUMBERS))
    if r.random() < .25:
        w[r.randrange(n)] += r.choice(",;:")
    s = " ".join(w)
    return (s[0].upper() + s[1:] if r.random() < .8 else s) + r.choice([".", ".", ".", "!", "?", "", "...", " "])


def long_word(r):
    k = r.randrange(5)
    n = r.randrange(40, 160)
    if k == 0:
        return "".join(r.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(n))
    if k == 1:
        return r.choice("aA=-.#_ 0") * n
    if k == 2:
        return "".join(r.choice(["un", "der", "ing", "tion", "able", "anti", "graph", "ly"]) for _ in range(n // 4))
    if k == 3:
        return "".join(r.choice("ABCDEFghijkl0123456789+/") for _ in range(n)) + "=="
    return "https://example.org/" + "/".join(r.choice(WORDS) for _ in range(n // 12)) + "?q=%20&id=" + str(r.randrange(10**9))


def piece(r):
    lists = [CONTRACTIONS, ACCENTED, COMBINING, EMOJI, CJK, SCRIPTS, CONTROL, PUNCT, NUMBERS, CODE]
    k = r.randrange(len(lists) + 4)
    if k < len(lists):
        return r.choice(lists[k])
    return [sentence, sentence, long_word, lambda q: chr(q.choice([q.randrange(0x20, 0x250),
            q.randrange(0x370, 0x600), q.randrange(0x2010, 0x2028), q.randrange(0x2190, 0x2400), q.randrange(0x4E00, 0x9000)]))][k - len(lists)](r)


def texts(seed, n, longest):
    """n strings of at most `longest` characters; the first ones are the single items of every list."""
    r = random.Random(seed)
    out = [""] + [s for lst in (CONTRACTIONS, ACCENTED, COMBINING, EMOJI, CJK, SCRIPTS, CONTROL, PUNCT, NUMBERS, CODE, RARE) for s in lst]
    out += ["a" + s + "b" for s in SPACES] + [s + "word" + s + s for s in SPACES]
    seen, res = set(), []
    r.shuffle(out)
    while len(res) < n:
        if out and r.random() < .5:
            s = out.pop()
        else:
            s = ""
            for _ in range(r.choice([1, 1, 2, 3, 4, 6, 9])):
                s += piece(r) + (" " if r.random() < .6 else r.choice(SPACES) if r.random() < .6 else "")
            if r.random() < .5:
                s = s.rstrip(" ")
        s = s[:longest]
        if s not in seen:
            seen.add(s)
            res.append(s)
    return res
