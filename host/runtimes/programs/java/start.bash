# Takes the first request of a context, in the folder and environment of which the Java program is to start: a JVM can change neither later.
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
# What a JVM does at SIGINT is end. One that finds it ignored leaves it so.
trap '' INT
options=(-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData -Xshare:auto -Dfile.encoding=UTF-8 -Dstdout.encoding=UTF-8 -Dstderr.encoding=UTF-8)
# Compiled by the build where it had a JDK; else as it is written. Classes of the user's may lie in the folder of the context.
program=(/caisson/runtimes/java/Main.java)
[[ -e /caisson/runtimes/java/classes/Main.class ]] && program=(-cp /caisson/runtimes/java/classes:. Main)
# The one that has jshell: `java` may be another, and only run what was compiled.
jdk=$(readlink -f "$(type -P jshell)") && exec "${jdk%/*}/java" "${options[@]}" --add-opens java.base/java.io=ALL-UNNAMED "${program[@]}"
printf '{"type":"failed","code":"LANGUAGE_UNAVAILABLE","message":"jshell, which is part of a JDK, is not there any more"}\n' >&3
