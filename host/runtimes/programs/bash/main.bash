# The bash runtime: one shell that runs what it is given, cell by cell, and keeps its state. host/runtimes/bash.ts starts it and says how it is asked:
# the loop is there, in the word after -c, because line numbers in messages count from its line.
#
# Cells run in this very shell, without a subshell, so that all they set stays. `exit N`, `set -e` and an interrupt in a cell therefore end the
# shell. Its EXIT trap then starts bash anew in the same process, with the state written through a pipe: variables, functions, aliases, options, the
# folder. Lost are the list of jobs (they go on running) and traps. The new shell says how the run ended.
# Programs run in a bash of their own.
#
# Our names begin with __caisson_. The control channel is 213; it is closed while user code runs, and the copy that bash keeps is close-on-exec.

__caisson_next() {
  local op
  # `continue` in a cell that is in no loop continues ours.
  if ((__caisson_running)); then __caisson_settle 0; fi
  while builtin :; do
    __caisson_field op || builtin exit 0
    case $op in
      init) __caisson_init || builtin exit 1 ;;
      run)
        __caisson_run || builtin exit 1
        return 0
        ;;
      renew)
        __caisson_field op || builtin exit 0
        RANDOM=$((16#${op:0:8}))
        ;;
      # Of a run that is over.
      interrupt) __caisson_field op ;;
      *) builtin exit 1 ;;
    esac
  done
}

__caisson_say() { builtin printf "$@" >&213; }

# One field that ends in NUL. Fails when the host is gone.
__caisson_field() { IFS= builtin read -r -d '' -u 213 "$1"; }

# So many groups of $1 fields.
__caisson_fields() {
  local count index
  __caisson_field count || return
  __caisson_list=()
  for ((index = 0; index < count * $1; index++)); do
    __caisson_field "__caisson_list[index]" || return
  done
}

__caisson_init() {
  local cwd name index
  __caisson_field cwd && __caisson_fields 2 || return
  while IFS= builtin read -r name; do builtin unset -v "$name"; done < <(compgen -e)
  builtin export PWD SHLVL=0
  for ((index = 0; index < ${#__caisson_list[@]}; index += 2)); do
    builtin export "${__caisson_list[index]}=${__caisson_list[index + 1]}"
  done
  if ! builtin cd -- "$cwd" 2>/dev/null; then
    __caisson_say '{"type":"failed","code":"FILE_MISSING","message":"the folder of the context is missing"}\n'
    return 1
  fi
  __caisson_say '{"type":"ready"}\n'
}

__caisson_run() {
  local kind path waiting
  __caisson_field __caisson_id && __caisson_field __caisson_code && __caisson_fields 2 && __caisson_field kind || return
  __caisson_count=$((__caisson_count + 1))
  __caisson_set_env
  if [[ $kind == program ]]; then
    __caisson_field path && __caisson_fields 1 || return
    __caisson_script=$__caisson_code
    __caisson_arguments=("$path" "${__caisson_list[@]}")
    __caisson_code='__caisson_program'
  else
    __caisson_code=$__caisson_options$__caisson_code
  fi
  __caisson_running=1
  # The interrupt may have come before the trap could know that it was meant for this run.
  while builtin read -t 0 -u 213; do
    __caisson_field waiting && __caisson_field waiting || return
    if [[ $waiting == "$__caisson_id" ]]; then __caisson_code='(exit 130)'; fi
  done
  __caisson_sockets __caisson_before
}

# After a cell that did not end the shell. $1: its status.
__caisson_settle() {
  __caisson_keep_options
  __caisson_finish "$1"
}

__caisson_finish() {
  __caisson_running=0
  __caisson_undo_env
  __caisson_say '{"type":"end","id":%d,"executionCount":%d,"exitCode":%d}\n' "$__caisson_id" "$__caisson_count" "$1"
}

# Those that would change how our own lines run: noted, and off until the next cell.
__caisson_keep_options() {
  local name
  __caisson_options=''
  for name in allexport errexit noglob nounset verbose xtrace; do
    if [[ :$SHELLOPTS: == *:$name:* ]]; then __caisson_options+="builtin set -o $name;"; fi
  done
  builtin set +aefuvx
}

__caisson_set_env() {
  local index name
  __caisson_env=()
  for ((index = 0; index < ${#__caisson_list[@]}; index += 2)); do
    name=${__caisson_list[index]}
    if [[ -v $name ]]; then
      __caisson_env+=("$name" "$([[ ${!name@a} == *x* ]] && builtin printf x)=" "${!name}")
    else
      __caisson_env+=("$name" '' '')
    fi
    builtin export "$name=${__caisson_list[index + 1]}" 2>/dev/null
  done
}

__caisson_undo_env() {
  local index name
  for ((index = 0; index < ${#__caisson_env[@]}; index += 3)); do
    name=${__caisson_env[index]}
    case ${__caisson_env[index + 1]} in
      '') builtin unset -v "$name" ;;
      =) builtin export -n "$name=${__caisson_env[index + 2]}" ;;
      *) builtin export "$name=${__caisson_env[index + 2]}" ;;
    esac
  done 2>/dev/null
  __caisson_env=()
}

__caisson_program() {
  local path=${__caisson_arguments[0]}
  builtin set -- "${__caisson_arguments[@]:1}"
  case $path in
    -c | -)
      path=bash
      # Messages name `bash` then. One argument holds 128 KiB, a character at most 4 bytes.
      if ((${#__caisson_script} < 30000)); then
        "$BASH" -c "$__caisson_script" "$path" "$@"
        return
      fi
      ;;
    *)
      # The file itself, where it is what we were given: $0 and messages name it then.
      if [[ -f $path && -r $path && $(<"$path") == "$(builtin printf %s "$__caisson_script")" ]]; then
        "$BASH" "$path" "$@"
        return
      fi
      ;;
  esac
  "$BASH" -c '. /dev/fd/214' "$path" "$@" 214<<<"exec 214<&-;$__caisson_script"
}

# Numbers of the open sockets, into the array $1.
__caisson_sockets() {
  local path
  builtin eval "$1=()"
  for path in /proc/"$$"/fd/*; do
    if [[ -S $path ]]; then builtin eval "$1+=(${path##*/})"; fi
  done
}

# `trap ... EXIT` of a cell is kept for the end of that shell; the trap itself is ours.
trap() {
  local word action names=()
  if ((BASH_SUBSHELL > 0 || $# < 2)) || [[ $1 == -[lp]* ]]; then
    builtin trap "$@"
    return
  fi
  if [[ $1 == -- ]]; then shift; fi
  action=$1
  for word in "${@:2}"; do
    case $word in
      EXIT | exit | 0) if [[ $action == - ]]; then __caisson_users_exit=''; else __caisson_users_exit=$action; fi ;;
      *) names+=("$word") ;;
    esac
  done
  if ((${#names[@]} > 0)); then builtin trap -- "$action" "${names[@]}"; fi
}

__caisson_on_interrupt() {
  if ((__caisson_running)); then builtin exit 130; fi
}

# The shell ends. $1: its status. Whatever the cell did to end it, the next one finds a shell.
__caisson_on_exit() {
  __caisson_keep_options
  if ((!__caisson_running)); then builtin exit "$1"; fi
  builtin unset -f exec
  local action=$__caisson_users_exit after state name IFS=' '
  __caisson_users_exit=''
  if [[ -n $action ]]; then builtin eval "$action"; fi
  # bash moved the channel away for the time of the cell: it is the socket that was not there before. A copy of it is close-on-exec too,
  # unless it goes by way of descriptor 0.
  __caisson_sockets after
  for state in "${after[@]}"; do
    if [[ " ${__caisson_before[*]} " != *" $state "* ]]; then exec {name}<&0 0<&"$state" 213<&0 0<&"$name" {name}<&-; fi
  done
  exec {state}< <(__caisson_state)
  exec "$BASH" --noprofile --norc -c "$BASH_EXECUTION_STRING" "$0" "$state" "$1"
}

# All of it as commands. What bash sets itself is readonly there and cannot be set again: those lines fail, and do no harm.
__caisson_state() {
  builtin unset -v after state action name IFS
  # What changes how the rest is read is set by the last line. That is kept in $1, which is no part of the state.
  builtin set -- 'builtin shopt -u expand_aliases'
  if builtin shopt -q expand_aliases; then builtin set -- 'builtin shopt -s expand_aliases'; fi
  if [[ -o posix ]]; then builtin set -- "builtin set -o posix; $1"; fi
  if ! builtin shopt -q extglob; then builtin set -- "builtin shopt -u extglob; $1"; fi
  builtin set +o posix
  builtin shopt -p
  builtin printf 'shopt -u expand_aliases\nshopt -s extglob\n'
  builtin declare -p
  builtin alias -p
  builtin set +o
  # After all that they may have the names of.
  builtin declare -f
  builtin printf '%s\n' "$1"
}

# Read as one, before there are any aliases of cells.
{
  if [[ -n ${1-} ]]; then
    # Exported ones are there already.
    builtin unset -f shopt declare alias set
    __caisson_state_fd=$1
    . "/dev/fd/$1" 2>/dev/null
    exec {__caisson_state_fd}<&-
  else
    exec 213<&3 3<&-
    # As where somebody types: what one cell defines, the next one uses.
    builtin shopt -s expand_aliases
    __caisson_count=0 __caisson_running=0 __caisson_options='' __caisson_users_exit='' __caisson_env=()
  fi
  builtin trap '__caisson_on_exit $?' EXIT
  builtin trap __caisson_on_interrupt INT
  if [[ -n ${2-} ]]; then __caisson_finish "$2"; fi
  builtin set --
}
