import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.FileDescriptor;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.Field;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.Collectors;
import jdk.jshell.Diag;
import jdk.jshell.EvalException;
import jdk.jshell.JShell;
import jdk.jshell.JShellException;
import jdk.jshell.Snippet;
import jdk.jshell.SnippetEvent;
import jdk.jshell.SourceCodeAnalysis;
import jdk.jshell.UnresolvedReferenceException;

/**
 * The Java runtime: JShell in this very process, which runs what it is given, cell by cell, and keeps its state. host/runtimes/java.ts starts it and says
 * how it is asked; what it answers is in host/runtimes/runtime.ts.
 */
public class Main {
    /** What jshell(1) imports by itself. */
    private static final List<String> IMPORTS = List.of("java.io", "java.math", "java.net", "java.nio.file", "java.util", "java.util.concurrent",
            "java.util.function", "java.util.prefs", "java.util.regex", "java.util.stream");
    private static final int STOP_AGAIN_MS = 50;
    private static final int MAX_MESSAGE_CHARACTERS = 1 << 20;

    private final InputStream asked;
    private final OutputStream answers;
    private final BlockingQueue<Task> tasks = new LinkedBlockingQueue<>();
    private final JShell shell;
    private int count = 0;
    /** The run that is under way, and the last one that was to be interrupted. */
    private volatile String current = "";
    private volatile String interrupted = "";
    private volatile Process child;

    private record Task(String id, String code, Map<String, String> env, List<String> program) {}

    private record Failure(String name, String value, String traceback) {}

    Main(FileDescriptor channel) {
        asked = new BufferedInputStream(new FileInputStream(channel));
        answers = new FileOutputStream(channel);
        // What is declared and what is printed is this process's own.
        shell = JShell.builder().executionEngine("local").build();
        for (String name : IMPORTS) shell.eval("import " + name + ".*;");
    }

    public static void main(String[] arguments) throws Exception {
        System.setOut(new PrintStream(new FileOutputStream(FileDescriptor.out), true, StandardCharsets.UTF_8));
        System.setErr(new PrintStream(new FileOutputStream(FileDescriptor.err), true, StandardCharsets.UTF_8));
        // Where Java code looks for what a sandbox was given, as for what a call was given.
        System.getenv().forEach(System.getProperties()::putIfAbsent);
        var open = FileDescriptor.class.getDeclaredConstructor(int.class);
        open.setAccessible(true);
        var runtime = new Main(open.newInstance(3));
        var listener = new Thread(runtime::listen, "requests");
        listener.setDaemon(true);
        listener.start();
        runtime.say("{\"type\":\"ready\"}");
        while (true) runtime.carryOut(runtime.tasks.take());
    }

    /** An interrupt is heard while code runs. */
    private void listen() {
        try {
            while (true) {
                switch (field()) {
                    case "run" -> tasks.add(task());
                    case "interrupt" -> interrupt(field());
                    case "renew" -> Chance.renew(field());
                    default -> Runtime.getRuntime().halt(1);
                }
            }
        } catch (IOException gone) {
            Runtime.getRuntime().halt(0);
        } catch (ReflectiveOperationException | GeneralSecurityException error) {
            // It would draw what others draw.
            System.err.println("caisson: this context ends, for its chance cannot be renewed: " + error);
            Runtime.getRuntime().halt(1);
        }
    }

    private String field() throws IOException {
        var bytes = new ByteArrayOutputStream();
        for (int next = asked.read(); next != 0; next = asked.read()) {
            if (next < 0) throw new EOFException();
            bytes.write(next);
        }
        return bytes.toString(StandardCharsets.UTF_8);
    }

    private Task task() throws IOException {
        String id = field();
        String code = field();
        var env = new LinkedHashMap<String, String>();
        for (int left = Integer.parseInt(field()); left > 0; left--) env.put(field(), field());
        if (field().equals("cell")) return new Task(id, code, env, null);
        var program = new ArrayList<String>(List.of(field()));
        for (int left = Integer.parseInt(field()); left > 0; left--) program.add(field());
        return new Task(id, code, env, program);
    }

    /** Again and again, until the run is over: JShell hears of it only while code runs, and not while it is compiled. */
    private synchronized void interrupt(String id) {
        interrupted = id;
        var stopping = new Thread(() -> {
            while (current.equals(id)) {
                var program = child;
                if (program != null) program.destroyForcibly();
                shell.stop();
                try {
                    Thread.sleep(STOP_AGAIN_MS);
                } catch (InterruptedException never) {
                    return;
                }
            }
        }, "interrupt");
        stopping.setDaemon(true);
        stopping.start();
    }

    private synchronized void begin(String id) {
        current = id;
    }

    private void carryOut(Task task) throws IOException {
        count++;
        begin(task.id);
        var before = new HashMap<String, String>();
        for (String name : task.env.keySet()) before.put(name, System.getProperty(name));
        System.getProperties().putAll(task.env);
        int exit = task.program == null ? cell(task) : program(task);
        before.forEach((name, value) -> {
            if (value == null) System.clearProperty(name);
            else System.setProperty(name, value);
        });
        System.out.flush();
        System.err.flush();
        begin("");
        String code = task.program == null ? "" : ",\"exitCode\":" + exit;
        say("{\"type\":\"end\",\"id\":" + task.id + ",\"executionCount\":" + count + code + "}");
    }

    /** Snippet by snippet, until one fails. Gives 0, or 1 when one did. */
    private int cell(Task task) throws IOException {
        String last = null;
        Failure failure = null;
        SourceCodeAnalysis analysis = shell.sourceCodeAnalysis();
        for (String rest = task.code; failure == null && !rest.isBlank(); ) {
            if (interrupted.equals(task.id)) failure = stopped();
            else {
                var part = analysis.analyzeCompletion(rest);
                String source = part.completeness().isComplete() ? part.source() : rest;
                rest = part.completeness().isComplete() ? part.remaining() : "";
                last = null;
                for (SnippetEvent event : shell.eval(source)) {
                    if (failure == null) failure = failureOf(event, task.id);
                    if (event.causeSnippet() == null) last = valueOf(event);
                }
            }
        }
        if (failure == null && interrupted.equals(task.id)) failure = stopped();
        if (failure != null) {
            say("{\"type\":\"error\",\"id\":" + task.id + ",\"error\":{\"name\":" + json(failure.name) + ",\"value\":" + json(failure.value)
                    + ",\"traceback\":" + json(failure.traceback) + "}}");
            return 1;
        }
        if (last != null) say("{\"type\":\"result\",\"id\":" + task.id + ",\"result\":{\"text\":" + json(last) + ",\"isMainResult\":true}}");
        return 0;
    }

    /** Of an expression; what is declared or assigned is no result. */
    private static String valueOf(SnippetEvent event) {
        boolean shown = switch (event.snippet().subKind()) {
            case TEMP_VAR_EXPRESSION_SUBKIND, VAR_VALUE_SUBKIND, OTHER_EXPRESSION_SUBKIND -> true;
            default -> false;
        };
        String value = event.value();
        if (!shown || value == null || value.isEmpty() || value.equals("null")) return null;
        boolean quoted = value.length() >= 2 && value.startsWith("\"") && value.endsWith("\"");
        return quoted ? value.substring(1, value.length() - 1) : value;
    }

    private Failure failureOf(SnippetEvent event, String id) {
        if (interrupted.equals(id) && (event.exception() != null || event.value() == null)) return stopped();
        if (event.exception() != null) return failureOf(event.exception());
        if (event.status() != Snippet.Status.REJECTED) return null;
        String source = event.snippet().source();
        String said = shell.diagnostics(event.snippet()).filter(Diag::isError).map(error -> at(source, error)).collect(Collectors.joining("\n"));
        return new Failure("CompilationError", said.lines().findFirst().orElse("it cannot be compiled"), said);
    }

    private static String at(String source, Diag error) {
        int start = (int) Math.max(0, Math.min(error.getStartPosition(), source.length()));
        int from = source.lastIndexOf('\n', start - 1) + 1;
        int to = source.indexOf('\n', start);
        return error.getMessage(null) + "\n" + source.substring(from, to < 0 ? source.length() : to) + "\n" + " ".repeat(start - from) + "^";
    }

    private Failure failureOf(JShellException thrown) {
        if (thrown instanceof UnresolvedReferenceException unresolved) {
            String missing = shell.unresolvedDependencies(unresolved.getSnippet()).collect(Collectors.joining(", "));
            return new Failure("UnresolvedReference", "not declared yet: " + missing, "UnresolvedReference: not declared yet: " + missing);
        }
        String type = thrown instanceof EvalException evaluated ? evaluated.getExceptionClassName() : thrown.getClass().getName();
        String message = thrown.getMessage() == null ? "" : thrown.getMessage();
        var text = new StringBuilder(type + (message.isEmpty() ? "" : ": " + message));
        for (StackTraceElement frame : thrown.getStackTrace()) {
            // JShell's own classes for snippets are numbered from here on down.
            if (frame.getMethodName().startsWith("do_it$")) break;
            text.append("\n    at ").append(frame);
        }
        return new Failure(type.substring(type.lastIndexOf('.') + 1), message, text.toString());
    }

    private static Failure stopped() {
        return new Failure("KeyboardInterrupt", "", "KeyboardInterrupt");
    }

    /** A file with classes is a program of its own; anything else is a cell. */
    private int program(Task task) throws IOException {
        if (!task.code.contains("static void main(")) return cell(task);
        Path folder = Files.createTempDirectory("java");
        Path file = folder.resolve("Main.java");
        try {
            Files.writeString(file, task.code);
            var command = new ArrayList<>(List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-XX:-UsePerfData", file.toString()));
            command.addAll(task.program.subList(1, task.program.size()));
            var builder = new ProcessBuilder(command).inheritIO();
            builder.environment().putAll(task.env);
            synchronized (this) {
                if (interrupted.equals(task.id)) return 130;
                child = builder.start();
            }
            return child.waitFor();
        } catch (InterruptedException impossible) {
            return 130;
        } finally {
            child = null;
            Files.deleteIfExists(file);
            Files.deleteIfExists(folder);
        }
    }

    private synchronized void say(String message) throws IOException {
        answers.write((message + "\n").getBytes(StandardCharsets.UTF_8));
    }

    private static String json(String text) {
        var out = new StringBuilder("\"");
        int length = Math.min(text.length(), MAX_MESSAGE_CHARACTERS);
        for (int at = 0; at < length; at++) {
            char letter = text.charAt(at);
            // Half a pair is no character, and everything else can be said in ASCII.
            if (letter == '"' || letter == '\\') out.append('\\').append(letter);
            else if (letter < 0x20 || letter > 0x7e) out.append(String.format("\\u%04x", (int) letter));
            else out.append(letter);
        }
        return out.append('"').toString();
    }
}

/** In a process that goes on from the memory of another: where Java keeps what that one would draw as well. */
class Chance {
    private final SecureRandom fresh;
    /** What is kept is private to its classes. A cell is not let at it, so no package is opened; and by its name nobody is warned of this class. */
    private final Class<?> unsafe = Class.forName("sun.misc.Unsafe");
    private final Object memory;

    private Chance(String seed) throws ReflectiveOperationException, GeneralSecurityException {
        // It asks the kernel, which has been renewed; what it was told a moment before is mixed with this.
        fresh = SecureRandom.getInstance("NativePRNG");
        fresh.setSeed(new BigInteger(seed, 16).toByteArray());
        var field = unsafe.getDeclaredField("theUnsafe");
        field.setAccessible(true);
        memory = field.get(null);
    }

    static void renew(String seed) throws ReflectiveOperationException, GeneralSecurityException {
        var chance = new Chance(seed);
        // Made when it is first needed.
        Collections.shuffle(new ArrayList<>(List.of(1, 2)));
        for (String generator : List.of("java.lang.Math$RandomNumberGeneratorHolder randomNumberGenerator",
                "java.lang.StrictMath$RandomNumberGeneratorHolder randomNumberGenerator", "java.util.Collections r"))
            ((Random) chance.held(generator)).setSeed(chance.fresh.nextLong());
        for (String counter : List.of("java.util.Random seedUniquifier", "java.util.SplittableRandom defaultGen",
                "java.util.concurrent.ThreadLocalRandom seeder"))
            ((AtomicLong) chance.held(counter)).set(chance.fresh.nextLong());
        Object own = chance.ask("objectFieldOffset", Thread.class.getDeclaredField("threadLocalRandomSeed"));
        var put = chance.unsafe.getMethod("putLong", Object.class, long.class, long.class);
        for (Thread thread : Thread.getAllStackTraces().keySet()) put.invoke(chance.memory, thread, own, chance.fresh.nextLong());
    }

    /** `named`: a class, and a field that all of it share. */
    private Object held(String named) throws ReflectiveOperationException {
        String[] parts = named.split(" ");
        var field = Class.forName(parts[0]).getDeclaredField(parts[1]);
        var get = unsafe.getMethod("getObject", Object.class, long.class);
        return get.invoke(memory, ask("staticFieldBase", field), ask("staticFieldOffset", field));
    }

    private Object ask(String what, Field field) throws ReflectiveOperationException {
        return unsafe.getMethod(what, Field.class).invoke(memory, field);
    }
}
