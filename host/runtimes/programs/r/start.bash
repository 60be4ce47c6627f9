# Where R looks for packages and keeps its files is settled when it starts.
. /caisson/runtimes/start/init.bash
if [[ -z $(type -P R) ]]; then
  printf '{"type":"failed","code":"LANGUAGE_UNAVAILABLE","message":"R is not there any more"}\n' >&3
  exit 1
fi
# The one descriptor that R opens without a path.
exec R --no-echo --no-restore --no-save --file=/caisson/runtimes/r/main.R <&3 3<&-
