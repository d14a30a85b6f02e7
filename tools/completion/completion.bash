# SPDX-License-Identifier: Apache-2.0
# bash completion for @program@: what the program itself says can stand there.

# REPLY: the word without its quotes, as far as completion writes them; nothing of it is run.
_@program@_unquoted() {
  REPLY=$1
  case $1 in
    \'*) REPLY=${REPLY#\'} REPLY=${REPLY%\'} REPLY=${REPLY//"'\\''"/\'} ;;
    \"*) REPLY=${REPLY#\"} REPLY=${REPLY%\"} REPLY=${REPLY//\\\"/\"} REPLY=${REPLY//\\\$/\$}
         REPLY=${REPLY//\\\`/\`} REPLY=${REPLY//\\\\/\\} ;;
    *\\*) IFS= read REPLY <<<"$1" ;;  # without -r it takes the backslashes away
  esac
}

# REPLY: the word $2 as it must be typed behind the quote $1 that is open, or behind none.
_@program@_quoted() {
  REPLY=$2
  case $1 in
    \') REPLY=${REPLY//\'/\'\\\'\'} ;;
    \") REPLY=${REPLY//\\/\\\\} REPLY=${REPLY//\"/\\\"} REPLY=${REPLY//\$/\\\$}
        REPLY=${REPLY//\`/\\\`} ;;
    *) printf -v REPLY %q "$2" ;;
  esac
  # readline takes a quote at the end for the closing one, which it then does not write.
  [[ -z $1 || $REPLY != *"$1" ]] || REPLY+=$1
}

_@program@() {
  local cur words cword i REPLY
  if declare -F _get_comp_words_by_ref >/dev/null; then
    _get_comp_words_by_ref -n '=:@' cur words cword
  else
    cur=${COMP_WORDS[COMP_CWORD]} words=("${COMP_WORDS[@]}") cword=$COMP_CWORD
  fi
  local -a typed=() answer=()
  for ((i = 1; i <= cword; i++)); do
    _@program@_unquoted "${words[i]}"
    typed+=("$REPLY")
  done
  mapfile -t answer < <(printf '%s\0' "${typed[@]}" | "$1" --complete 2>/dev/null)
  COMPREPLY=()
  [[ -n ${answer[0]-} ]] || return 0

  # bash replaces what stands behind the open quote, or behind the last of these characters.
  local quote='' kept=''
  case $cur in
    [\'\"]*) quote=${cur:0:1} ;;
    *) local breaks=${COMP_WORDBREAKS//[!=:@]/}
       [[ -z $breaks ]] || kept=${cur%"${cur##*["$breaks"]}"} ;;
  esac
  local unquoted=${typed[cword - 1]} what=${answer[0]%% *} before='' value
  [[ ${answer[0]} != *' '* ]] || before=${answer[0]#* }
  case $what in
    words)
      for value in "${answer[@]:1}"; do
        value=${value%%$'\t'*}
        [[ $value == "$unquoted"* ]] || continue
        _@program@_quoted "$quote" "$value"
        COMPREPLY+=("${REPLY#"$kept"}")
      done ;;
    files | directories)
      unquoted=${unquoted#"$before"}
      if [[ $what == files ]]; then mapfile -t COMPREPLY < <(compgen -f -- "$unquoted")
      else mapfile -t COMPREPLY < <(compgen -d -- "$unquoted")
      fi
      # What is kept ends with "before", but for a path with one of these characters in it, or where
      # bash was told to break words elsewhere.
      COMPREPLY=("${COMPREPLY[@]/#/"$before"}")
      COMPREPLY=("${COMPREPLY[@]#"$kept"}")
      compopt -o filenames ;;
  esac
}
complete -F _@program@ @program@
