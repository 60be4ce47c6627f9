# Takes the first request of a context, in the folder and environment of which R is to start: where R looks for packages and keeps its files is settled then.
field() { IFS= read -r -d '' -u 3 "$1"; }

field op && [[ $op == init ]] && field cwd && field count || exit 1
while IFS= read -r name; do unset -v "$name"; done < <(compgen -e)
export PWD
for ((; count > 0; count--)); do
  field name && field value || exit 1
  export "$name=$value"
done
if ! cd -- "$cwd" 2>/dev/null; then
  printf '{"type":"failed","code":"FILE_MISSING","message":"the folder of the context is missing"}\n' >&3
  exit 1
fi
if [[ -z $(type -P R) ]]; then
  printf '{"type":"failed","code":"LANGUAGE_UNAVAILABLE","message":"R is not there any more"}\n' >&3
  exit 1
fi
# The one descriptor that R opens without a path.
exec R --no-echo --no-restore --no-save --file=/caisson/runtimes/r/main.R <&3 3<&-
