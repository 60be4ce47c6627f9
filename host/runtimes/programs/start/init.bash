# Takes the first request of a context, for a program that is to start in its folder and environment and can change neither later.
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
