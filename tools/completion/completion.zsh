#compdef @program@
# SPDX-License-Identifier: Apache-2.0
# zsh completion for @program@: what the program itself says can stand there.

local -a answer values shown
local line value about before
answer=("${(@f)$(print -rN -- "${(@Q)words[2,CURRENT-1]}" "$PREFIX" |
  ${(Q)words[1]} --complete 2>/dev/null)}")
[[ $answer[1] == *' '* ]] && before=${answer[1]#* }
case ${answer[1]%% *} in
  words)
    for line in "${(@)answer[2,-1]}"; do
      value=${line%%$'\t'*} about=${line#*$'\t'}
      values+=("$value")
      shown+=("$value${about:+ -- $about}")
    done
    compadd -l -d shown -a values ;;
  files)
    [[ -z $before ]] || compset -P "${(b)before}"
    _files ;;
  directories)
    [[ -z $before ]] || compset -P "${(b)before}"
    _path_files -/ ;;  # _files would offer files where no directory fits
  *) return 1 ;;
esac
