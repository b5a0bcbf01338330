# Completion of cairn in fish. As ~/.config/fish/completions/cairn.fish
function __cairn_command
  set -l command ""
  for word in (commandline -opc)
    switch "$command $word"
%EDGES%
    end
  end
  echo "$command"
end

function __cairn_is
  set -l command (__cairn_command)
  test "$command" = "$argv"
end

function __cairn_sessions
  set -l line (commandline -opc)
  set -l store
  set -l next 0
  for word in $line
    if test $next = 1
      set store --store (string replace -r '^~' $HOME -- $word)
    else if string match -q -- '--store=*' $word
      set store --store (string replace -- '--store=' '' $word)
    end
    set next (test "$word" = --store; and echo 1; or echo 0)
  end
  $line[1] sessions list --names --json=false $store 2>/dev/null
end

complete -c cairn -f
%LINES%
