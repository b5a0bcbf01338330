#compdef cairn
# Completion of cairn in zsh. As _cairn in a directory of $fpath, or in ~/.zshrc behind compinit:
# source <(cairn completion zsh)
_cairn_sessions() {
  local -a store names
  local i
  for ((i = 2; i < CURRENT; i++)); do
    case "${words[i]}" in
      --store) store=(--store "${${(Q)words[i + 1]}/#\~/$HOME}") ;;
      --store=*) store=(--store "${${(Q)words[i]#--store=}/#\~/$HOME}") ;;
    esac
  done
  names=(${(f)"$("${${(Q)words[1]}/#\~/$HOME}" sessions list --names --json=false "${store[@]}" 2>/dev/null)"})
  ((${#names})) && _describe 'session' names
}

_cairn() {
  local current="${words[CURRENT]}" previous="${words[CURRENT - 1]}"
  local command="" i kind kinds="" places="" list=""
  local -a commands options choices
  for ((i = 2; i < CURRENT; i++)); do
    case "$command ${words[i]}" in
%EDGES%
    esac
  done
  if [[ "$current" == --*=* ]]; then
    previous="${current%%=*}"
    compset -P '*='
  fi
  case "$command" in
%COMMANDS%
  esac
  case "$previous" in
%VALUES%
  esac
  if [[ -z "$kinds" && "$current" == -* ]]; then
    _describe -o 'option' options
    return
  fi
  for kind in ${=kinds:-commands $places}; do
    case "$kind" in
      commands) ((${#commands})) && _describe 'command' commands ;;
      words) choices=(${=list}) && _describe 'value' choices ;;
      session) _cairn_sessions ;;
      file) _files ;;
      directory) _files -/ ;;
    esac
  done
}

if [[ "${funcstack[1]}" == _cairn ]]; then
  _cairn "$@"
else
  compdef _cairn cairn
fi
