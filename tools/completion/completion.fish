# SPDX-License-Identifier: Apache-2.0
# fish completion for @program@: what the program itself says can stand there.

function __@program@_complete
    set -l tokens (commandline -opc)
    set -l current (commandline -ct)
    set -l program $tokens[1]
    set -e tokens[1]
    set -l answer (printf '%s\0' $tokens "$current" | $program --complete 2>/dev/null)
    set -l head (string split -m 1 ' ' -- $answer[1])
    switch "$head[1]"
        case words
            printf '%s\n' $answer[2..]
        case files
            set -l path (string sub -s (math 1 + (string length -- "$head[2]")) -- "$current")
            for found in (__fish_complete_path "$path")
                printf '%s\n' "$head[2]$found"
            end
        case directories
            set -l path (string sub -s (math 1 + (string length -- "$head[2]")) -- "$current")
            for found in (__fish_complete_directories "$path")
                printf '%s\n' "$head[2]$found"
            end
    end
end
complete -c @program@ -f -a '(__@program@_complete)'
