import { existsSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Sandbox } from '../../client/index.ts'
import { everyWall } from './every-wall.ts'
import { SpecHost } from './home.ts'

const CALLS_SQLITE = `
import sqlite3
c = sqlite3.connect("x.db")
c.execute("pragma journal_mode=wal")
c.execute("create table t(n)")
c.executemany("insert into t values(?)", [(n,) for n in range(1000)])
c.commit()
print(sqlite3.connect("x.db").execute("select sum(n) from t").fetchone()[0])
`
const CALLS_CHILDREN = `
import asyncio, multiprocessing, subprocess
async def child():
    process = await asyncio.create_subprocess_exec("echo", "async", stdout=-1)
    return (await process.communicate())[0].decode().strip()
if __name__ == "__main__":
    print(subprocess.run(["echo", "run"], capture_output=True, text=True).stdout.strip(), asyncio.run(child()))
    with multiprocessing.Pool(2) as pool: print(pool.map(abs, [-1, -2]))
`
const CALLS_NODE = `
const { writeFileSync, statSync } = require("fs")
const { execSync } = require("child_process")
const { Worker } = require("worker_threads")
writeFileSync("n", "12")
console.log(statSync("n").size, String(execSync("echo child")).trim())
new Worker('require("worker_threads").parentPort.postMessage("worker")', { eval: true }).on("message", (said) => console.log(said))
`

/** What people do all day: the program that must be there, a command, and all that it prints. */
const EVERYDAY: readonly (readonly [program: string, command: string, stdout: string | RegExp])[] = [
  [
    'ls',
    'touch -d 2020-02-02 a; ls -A; ls -ln --time-style=+%Y a; ls / | grep -x usr; ls no 2>&1',
    /^a\n-rw.* 1 1000 1000 0 2020 a\nusr\nls: cannot access 'no': No such file or directory\n$/,
  ],
  [
    'stat',
    'printf abc > a; ln -s a l; stat -c "%F %s" a l; stat -L -c %F l; stat -f / > /dev/null && echo fs',
    'regular file 3\nsymbolic link 1\nregular file\nfs\n',
  ],
  [
    'find',
    'mkdir d; touch d/x d/y; find d -type f -newermt 2000-01-01 | sort; du -a d | wc -l; cp -a d e; mv e f; rm -r d; ls f',
    'd/x\nd/y\n3\nx\ny\n',
  ],
  ['tar', 'mkdir -p d/e o; echo x > d/e/f; ln -s f d/e/l; tar czf d.tgz d; tar xzf d.tgz -C o; diff -r d o/d; readlink o/d/e/l', 'f\n'],
  [
    'sort',
    'seq 50000 | sort -rn | head -n 2; seq 9 | xargs -P 2 -n 3 echo | sort; mkfifo p; (echo q > p &); cat p',
    '50000\n49999\n1 2 3\n4 5 6\n7 8 9\nq\n',
  ],
  [
    'git',
    'git init -q r; cd r; git config user.email a@b.c; git config user.name n; echo a > a; git add a; git commit -qm said; git clone -q . ../s; git -C ../s log --format=%s; git status --short',
    'said\n',
  ],
  ['pip', 'python3 -m pip list --disable-pip-version-check > list; head -n 1 list | cut -c 1-7', 'Package\n'],
  ['python3', `python3 -c '${CALLS_SQLITE}'`, '499500\n'],
  ['python3', `python3 -c '${CALLS_CHILDREN}'`, 'run async\n[1, 2]\n'],
  ['npm', 'npm init -y > /dev/null; npm pkg get name', '"w"\n'],
  ['node', `node -e '${CALLS_NODE.replaceAll("'", "'\\''")}'`, '2 child\nworker\n'],
  [
    'curl',
    'python3 -m http.server 8123 > /dev/null 2>&1 & for i in $(seq 100); do curl -sf localhost:8123/ > /dev/null && break; sleep 0.2; done; curl -s localhost:8123/ | head -n 1; kill %1',
    '<!DOCTYPE HTML>\n',
  ],
]

/** Where every instruction is emulated these take a minute each, and ask nothing of a kernel that `node` and `python3` do not. */
const SLOW_IN_MACHINES = ['npm', 'pip']

let host: SpecHost
beforeAll(async () => {
  host = await SpecHost.open()
})
afterAll(async () => {
  await host[Symbol.asyncDispose]()
})

everyWall((wall) => {
  let sandbox: Sandbox
  beforeAll(async () => {
    // One for all of them, one after the other: what a tool leaves behind is not to be in the way of the next.
    sandbox = await Sandbox.create({ template: 'base', wall, door: host.door, timeoutMs: 600_000 })
  })
  afterAll(() => sandbox.kill())

  test('a terminal is one: it has a name, a size, and commands that speak with whoever sits there', async () => {
    const running = await sandbox.commands.start(['/bin/sh', '-c', 'tty; stty size; test -t 0 && read -r line; echo said $line'], {
      pty: { columns: 100, rows: 30 },
    })
    await running.sendStdin('word\n')
    // The terminal says it again, whenever it comes.
    expect((await running.wait()).stdout.replace('word\r\n', '')).toMatch(/^\/dev\/pts\/\d+\r\n30 100\r\nsaid word\r\n$/)
  })

  test.for(EVERYDAY.map((tool) => [...tool] as const))('%s does what it does', async ([program, command, stdout], { skip }) => {
    if (wall === 'microvm' && SLOW_IN_MACHINES.includes(program)) skip('too slow where the processor is emulated')
    if (!existsSync(`/usr/bin/${program}`)) skip(`there is no ${program} below /usr of this machine`)
    const told = await sandbox.commands.run(`rm -rf /tmp/w && mkdir /tmp/w && cd /tmp/w\n${command}`, { env: { HOME: '/tmp' } })
    expect(`${told.stdout}${told.stderr}`).toEqual(stdout instanceof RegExp ? expect.stringMatching(stdout) : stdout)
  })
})
