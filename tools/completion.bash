# Completion of cairn in bash. In ~/.bashrc: source <(cairn completion bash)
_cairn_sessions() {
  local i store=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    [[ "${COMP_WORDS[i]}" == --store ]] || continue
    store=(--store "${COMP_WORDS[i + 1]}")
    [[ "${store[1]}" == "=" ]] && store[1]="${COMP_WORDS[i + 2]}"
    store[1]="${store[1]/#\~/$HOME}"
  done
  "${COMP_WORDS[0]/#\~/$HOME}" sessions list --names --json=false "${store[@]}" 2>/dev/null
}

_cairn() {
  local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD - 1]}"
  local command="" i kind kinds="" list="" places="" commands=() options=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$command ${COMP_WORDS[i]}" in
%EDGES%
    esac
  done
  if [[ "$current" == "=" ]]; then
    current=""
  elif [[ "$previous" == "=" ]]; then
    previous="${COMP_WORDS[COMP_CWORD - 2]}"
  fi
  case "$command" in
%COMMANDS%
  esac
  case "$previous" in
%VALUES%
  esac
  if [[ -z "$kinds" && "$current" == -* ]]; then
    kinds=words list="${options[*]}"
  elif [[ -z "$kinds" ]]; then
    kinds="words $places" list="${commands[*]}"
  fi
  COMPREPLY=()
  for kind in $kinds; do
    case "$kind" in
      words) COMPREPLY+=($(compgen -W "$list" -- "$current")) ;;
      session) COMPREPLY+=($(compgen -W "$(_cairn_sessions)" -- "$current")) ;;
      file | directory)
        local action=-f
        [[ "$kind" == directory ]] && action=-d
        compopt -o filenames 2>/dev/null
        while IFS= read -r i; do COMPREPLY+=("$i"); done < <(compgen "$action" -- "$current")
        ;;
    esac
  done
}
complete -F _cairn cairn
