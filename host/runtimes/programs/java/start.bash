# A JVM can change neither its folder nor its environment later.
. /caisson/runtimes/start/init.bash
# What a JVM does at SIGINT is end. One that finds it ignored leaves it so.
trap '' INT
options=(-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData -Xshare:auto -Dfile.encoding=UTF-8 -Dstdout.encoding=UTF-8 -Dstderr.encoding=UTF-8)
# Compiled by the build where it had a JDK; else as it is written. Classes of the user's may lie in the folder of the context.
program=(/caisson/runtimes/java/Main.java)
[[ -e /caisson/runtimes/java/classes/Main.class ]] && program=(-cp /caisson/runtimes/java/classes:. Main)
# The one that has jshell: `java` may be another, and only run what was compiled.
jdk=$(readlink -f "$(type -P jshell)") && exec "${jdk%/*}/java" "${options[@]}" --add-opens java.base/java.io=ALL-UNNAMED "${program[@]}"
printf '{"type":"failed","code":"LANGUAGE_UNAVAILABLE","message":"jshell, which is part of a JDK, is not there any more"}\n' >&3
