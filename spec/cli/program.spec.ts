import { lstat, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { CommandLine, ROOT } from './invoke.ts'

let line: CommandLine
beforeAll(async () => {
  line = await CommandLine.open()
})
afterAll(async () => {
  await line[Symbol.asyncDispose]()
})

/** Files to be found in the working folder, by name. */
async function given(files: Record<string, string>): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    await mkdir(join(line.work, name, '..'), { recursive: true })
    await writeFile(join(line.work, name), content)
  }
}
const PNG_BEGINS = Buffer.from([0x89, 0x50, 0x4e, 0x47])

test('the example prints its tables, and its chart lands beside them', async () => {
  const ended = await line.caisson(['run', join(ROOT, 'examples/sales-report.py')])
  expect(ended).toMatchObject({ exitCode: 0, stderr: 'caisson: saved caisson-out/sales-report-1.png\n' })
  expect(ended.stdout).toMatch(/^Year +201,790 +182,621 +222,345 +194,025 +800,782$/m)
  expect(ended.stdout).toMatch(/^Standing desk +164 +374 +162,775 +4\.9%$/m)
  const png = await readFile(join(line.work, 'caisson-out/sales-report-1.png'))
  expect(png.subarray(0, 4)).toEqual(PNG_BEGINS)
  expect(png.readUInt32BE(16)).toBeGreaterThan(600)
})

test('the picture of the README shows what is printed', async () => {
  const picture = await readFile(join(ROOT, 'docs/pictures/first-runs.svg'), 'utf8')
  const shown = [...picture.matchAll(/<text [^>]*>([^<]*)<\/text>/g)].map(([, text = '']) =>
    text.replaceAll('&gt;', '>').replaceAll('&amp;', '&'),
  )
  const commands = shown.filter((text) => text.startsWith('$ '))
  expect(commands.length).toBeGreaterThan(3)
  const printed: string[] = []
  for (const command of commands) {
    const { stdout, stderr } = await line.invoke('/bin/bash', ['-c', command.slice(2)], { cwd: ROOT })
    printed.push(command, ...`${stdout}${stderr}`.trimEnd().split('\n'))
  }
  // An id is each sandbox's own; how often a program asks again is its own affair.
  const alike = (text: string) => text.replaceAll(/\b[ei][a-z0-9]{19}\b/g, 'ID').replaceAll(/\b\d+(?= times| +mode allow)/g, 'N')
  expect(printed.map(alike)).toEqual(shown.map(alike))
})

test('a program in TypeScript gets its arguments', async () => {
  const ended = await line.caisson(['run', join(ROOT, 'examples/hello.ts'), 'you', '--', '--ignored'])
  expect(ended).toMatchObject({ exitCode: 0, stderr: '', stdout: expect.stringMatching(/^Hello, you, from x64 machine \S+\.\n$/) })
})

test('a program is a program: name, arguments, folder, and what lies beside it', async () => {
  await given({
    'app/tool.py': 'import sys, os\nprint(__name__, sys.argv, os.getcwd(), open("tool/data").read(), sorted(os.listdir(".")))\nsys.exit(6)',
    'app/tool/data': 'beside',
    'app/other.txt': 'stays',
  })
  const ended = await line.caisson(['run', 'app/tool.py', 'a', '--', '-b'])
  expect(ended).toEqual({
    exitCode: 6,
    stdout: "__main__ ['/home/user/tool.py', 'a', '-b'] /home/user beside ['tool', 'tool.py']\n",
    stderr: '',
  })
})

test('a byte order mark is none of the program', async () => {
  await given({ 'marked.py': '\ufeffprint("marked")' })
  expect(await line.caisson(['run', 'marked.py'])).toEqual({ exitCode: 0, stdout: 'marked\n', stderr: '' })
})

test('the first line tells the language of a file without an extension', async () => {
  await given({ script: '#!/usr/bin/env bash\necho "$0 $1"; exit 4' })
  expect(await line.caisson(['run', 'script', 'x'])).toMatchObject({ exitCode: 4, stdout: '/home/user/script x\n' })
})

test('code from standard input, in the language that is named', async () => {
  const ended = await line.caisson(['run', '--lang', 'js', '-'], { stdin: 'const a = await Promise.resolve(2)\na * 21' })
  expect(ended).toEqual({ exitCode: 0, stdout: '42\n', stderr: '' })
})

test('what goes in: files, folders, modes, and links as links', async () => {
  await given({ 'in/a/b.txt': 'b', 'in/run.sh': '#!/bin/sh\necho ran' })
  await symlink('/etc/shadow', join(line.work, 'in/secret'))
  await symlink('b.txt', join(line.work, 'in/a/link'))
  const ended = await line.caisson(['run', '--in', 'in', '--', 'sh', '-c', 'cat in/a/link; readlink in/secret; cat in/secret; id -un'])
  expect(ended.stdout).toBe('b/etc/shadow\nuser\n')
  expect(ended.stderr).toMatch(/secret/)
})

test('what comes out: everything under /home/user/out, and the charts', async () => {
  const code = [
    'import os, pathlib',
    'os.makedirs("out/sub")',
    'pathlib.Path("out/sub/a.txt").write_text("a")',
    'pathlib.Path("out/exe").write_text("x"); os.chmod("out/exe", 0o4755)',
    'import matplotlib.pyplot as plt; plt.plot([1, 2]); plt.show()',
  ].join('\n')
  const ended = await line.caisson(['run', '--out', 'results', '-c', code])
  expect(ended.exitCode).toBe(0)
  expect(ended.stderr.split('\n').filter(Boolean).sort()).toEqual([
    'caisson: saved results/exe',
    'caisson: saved results/result-1.png',
    'caisson: saved results/sub/a.txt',
  ])
  expect(await readFile(join(line.work, 'results/sub/a.txt'), 'utf8')).toBe('a')
  expect((await lstat(join(line.work, 'results/exe'))).mode & 0o7111).toBe(0)
})

test('charts that cannot be saved are told of, with what helps', async () => {
  await given({ 'shut/caisson-out': 'a file' })
  const code = 'import matplotlib.pyplot as plt\nplt.plot([1]); plt.show()'
  const ended = await line.caisson(['run', '-c', code], { cwd: join(line.work, 'shut') })
  expect(ended.exitCode).toBe(125)
  expect(ended.stderr).toMatch(/^caisson: FILE_[A-Z]+: its charts were not saved: caisson-out [^\n]*--out[^\n]*\n$/)
})

test('hostile names and kinds stay inside, and are named in one line each', async () => {
  const code = [
    'import os, socket',
    'os.mkdir("out"); os.chdir("out")',
    'open("\\x1b[2J\\nname", "w").write("1")',
    'open(".bashrc", "w").write("2")',
    'os.symlink("/etc/passwd", "link"); os.symlink("/", "dir")',
    'os.mkfifo("fifo")',
    'socket.socket(socket.AF_UNIX).bind("sock")',
    'os.mkdir(".git"); open(".git/hook", "w").write("3")',
    'open(b"\\xff\\xfe", "w").write("4")',
  ].join('\n')
  const ended = await line.caisson(['run', '--out', 'hostile', '-c', code])
  expect(ended.exitCode).toBe(0)
  expect(ended.stderr).not.toMatch(/\p{Cc}(?<!\n)/u)
  const lines = ended.stderr.split('\n').filter(Boolean)
  expect(lines.every((text) => /^caisson: (saved|left behind:) /.test(text))).toBe(true)
  for (const name of ['.bashrc', 'link', 'dir', 'fifo', 'sock', '.git']) {
    expect(lines.filter((text) => text.startsWith(`caisson: left behind: ${name} (`))).toHaveLength(1)
  }
  const landed = await readdir(join(line.work, 'hostile'))
  expect(landed).toContain('_[2J_name')
  expect(landed.filter((name) => name.startsWith('.') || ['link', 'dir', 'fifo', 'sock'].includes(name))).toEqual([])
})

test('out itself as a link leads nowhere', async () => {
  const ended = await line.caisson(['run', '--out', 'linked', '-c', 'import os; os.symlink("/etc", "out")'])
  expect(ended).toMatchObject({ exitCode: 0, stderr: 'caisson: left behind: /home/user/out is not a folder\n' })
  expect(await readdir(join(line.work, 'linked'))).toEqual([])
})

test('--json is one document, and nothing else is printed', async () => {
  const ended = await line.caisson(['run', '--json', '-c', 'import sys; print("out"); print("err", file=sys.stderr); {"a": 1}'])
  expect(ended).toMatchObject({ exitCode: 0, stderr: '' })
  expect(JSON.parse(ended.stdout)).toMatchObject({
    id: expect.stringMatching(/^e[a-z0-9]{19}$/),
    exitCode: 0,
    stdout: 'out\n',
    stderr: 'err\n',
    results: [{ text: "{'a': 1}", isMainResult: true }],
    saved: [],
  })
})

test('--json tells a limit and an exception', async () => {
  const limited = await line.caisson(['run', '--json', '--timeout', '1s', '-c', 'while True: pass'])
  expect(limited.exitCode).toBe(124)
  expect(JSON.parse(limited.stdout)).toMatchObject({ exitCode: 124, limit: 'timeout', error: { code: 'LIMIT_HIT' } })
  const thrown = await line.caisson(['run', '--json', '--', 'sh', '-c', 'echo a; exit 3'])
  expect(JSON.parse(thrown.stdout)).toMatchObject({ exitCode: 3, stdout: 'a\n' })
  const raised = await line.caisson(['run', '--json', '-c', '1/0'])
  expect(JSON.parse(raised.stdout)).toMatchObject({ exitCode: 1, exception: { name: 'ZeroDivisionError', value: 'division by zero' } })
})

test('--dry-run prints the plan and makes nothing', async () => {
  const ended = await line.caisson(['run', '--dry-run', '--memory', '64', '--timeout', 'none', '-c', '1'])
  expect(ended).toMatchObject({ exitCode: 0, stderr: '' })
  expect(JSON.parse(ended.stdout)).toMatchObject({ version: 1, wall: 'container', limits: { memoryBytes: 64 * 2 ** 20, wallMs: null } })
  expect(await line.leftovers()).toEqual([])
})

test('a mounted folder is at its own path, read-only unless it says rw, and the command starts there', async () => {
  const folder = join(line.work, 'project')
  await given({ 'project/file': 'one' })
  const ro = await line.caisson(['run', '--mount', '.', '--', 'sh', '-c', 'pwd; cat file; echo two > file'], { cwd: folder })
  expect(ro.stdout).toBe(`${folder}\none`)
  expect(ro.exitCode).not.toBe(0)
  expect(await readFile(join(folder, 'file'), 'utf8')).toBe('one')
  const rw = await line.caisson(['run', '--mount', '.:rw', '--', 'sh', '-c', 'echo two > file'], { cwd: folder })
  expect(rw).toMatchObject({ exitCode: 0 })
  expect(await readFile(join(folder, 'file'), 'utf8')).toBe('two\n')
})

test('only the environment that is named goes in', async () => {
  // Node says so where it cannot read what that names: it is not given to the command line's own.
  const env = { CANARY: 'secret', NAMED: 'yes', NODE_EXTRA_CA_CERTS: '/nowhere' }
  const ended = await line.caisson(['run', '--env', 'NAMED', '--env', 'NODE_EXTRA_CA_CERTS', '--env', 'A=b=c', '--', 'env'], { env })
  expect(ended.stderr).toBe('')
  expect(ended.stdout).toMatch(/^NODE_EXTRA_CA_CERTS=\/nowhere$/m)
  expect(ended.stdout).toMatch(/^NAMED=yes$/m)
  expect(ended.stdout).toMatch(/^A=b=c$/m)
  expect(ended.stdout).not.toMatch(/secret|CAISSON/)
})

test('a reader who leaves ends the sandbox', async () => {
  const ended = await line.invoke('bash', ['-c', `set -o pipefail; ${join(ROOT, 'caisson')} run -c 'while True: print("y")' | head -n 1`])
  expect(ended.stdout).toBe('y\n')
  expect(ended.exitCode).toBe(141)
  expect(await line.leftovers()).toEqual([])
})
