import { existsSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Sandbox } from '../../client/index.ts'

/** Ordinary programs of the machine work inside, though nothing of its /etc, /var or /opt is there. */
let sandbox: Sandbox
beforeAll(async () => {
  sandbox = await Sandbox.create({ template: 'code-interpreter', timeoutMs: 300_000 })
})
afterAll(() => sandbox?.kill())

const TOOLS: [program: string, command: string, shows: RegExp][] = [
  ['id', 'id', /uid=1000\(user\) gid=1000\(user\)/],
  ['getent', 'getent passwd root nobody user | cut -d: -f1 | tr "\\n" " "', /root nobody user/],
  ['date', 'date +%Z', /UTC/],
  ['awk', 'echo 1 2 | awk "{ print \\$1 + \\$2 }"', /^3$/m],
  ['perl', 'perl -MPOSIX -e "print POSIX::floor(2.5)"', /2/],
  ['git', 'git init -q r && cd r && git -c user.name=u -c user.email=u@x commit -q --allow-empty -m m && git log --oneline', /m$/m],
  ['vim', 'printf ":s/a/b/\\n:wq\\n" >s; echo a >f; vim -e -s f <s; cat f', /b/],
  ['java', 'java -version 2>&1', /version/],
  ['gcc', 'echo "int main(){return 7;}" >a.c && gcc a.c -o a && { ./a; echo $?; }', /7/],
  ['make', 'printf "all:\\n\\t@echo made\\n" >Makefile && make', /made/],
  ['openssl', 'openssl version -d && openssl verify -CAfile /etc/ssl/certs/ca-certificates.crt /dev/null 2>&1 | head -1', /OPENSSLDIR/],
  ['tput', 'TERM=xterm tput cols', /\d/],
  ['locale', 'locale charmap', /UTF-8/],
  ['fc-list', 'fc-list | wc -l', /^\d+$/m],
  ['node', 'node -p "6*7"', /42/],
  ['pip', 'pip --version', /from \/caisson\/python/],
  ['ipython', 'ipython --version', /^\d/m],
  ['python3', 'python3 -c "import sys; print(sys.prefix)"', /^\/caisson\/python$/m],
]

describe('programs', () => {
  test.each(TOOLS)('%s', async (program, command, shows) => {
    if (!existsSync(`/usr/bin/${program}`) && !['pip', 'ipython'].includes(program)) {
      const { exitCode } = await sandbox.commands.run(`command -v ${program}`)
      expect(exitCode, 'what the machine lacks, the sandbox lacks').not.toBe(0)
      return
    }
    const { stdout, stderr, exitCode } = await sandbox.commands.run(`mkdir -p /tmp/${program} && cd /tmp/${program} && ${command}`)
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' })
    expect(stdout).toMatch(shows)
  })

  test('a terminal reads ~/.bashrc, which installers add to, unless there is a profile that would', async () => {
    const said = async (before: string) =>
      (await sandbox.commands.run(`cd; ${before}; bash -l -i -c 'echo "$FROM_RC"' 2>/dev/null`)).stdout.trim()
    try {
      expect(await said('echo "FROM_RC=bashrc" >.bashrc')).toBe('bashrc')
      expect(await said('echo "FROM_RC=profile" >.profile')).toBe('profile')
    } finally {
      await sandbox.commands.run('cd; rm -f .bashrc .profile')
    }
  })

  test('links of the machine into /etc resolve', async () => {
    const command = 'for l in /etc/alternatives/*; do [ -e "$l" ] || echo "$l -> $(readlink $l)"; done'
    const { stdout } = await sandbox.commands.run(command)
    const dangling = stdout.split('\n').filter((line) => existsSync(line.split(' ')[0] ?? ''))
    expect(dangling).toEqual([])
  })

  test('nothing else of the machine is there', async () => {
    const { stdout } = await sandbox.commands.run('ls -A /; ls -A /root /home /var /opt /run /srv /mnt /media /boot 2>/dev/null')
    expect(
      stdout.split('\n').filter((name) => ['opt', 'srv', 'mnt', 'media', 'boot', '.ssh', '.bashrc', 'lib/dpkg'].includes(name)),
    ).toEqual([])
  })
})

describe.runIf(process.getuid?.() === 0)('the base template', () => {
  test('has what programs written for other sandboxes count on, under every name they use', async () => {
    await using base = await Sandbox.create({ template: 'base', profile: 'e2b', timeoutMs: 60_000 })
    const wanted = ['python', 'python3', 'git', 'curl', 'tput', 'ss', 'pgrep', 'setfattr', 'getfattr', 'sudo', 'node']
    const { stdout } = await base.commands.run(`for name in ${wanted.join(' ')}; do command -v $name >/dev/null || echo $name; done`)
    // Node is as the machine has it: installed by hand, it may lie elsewhere.
    expect(stdout.split('\n').filter((name) => name !== '' && (name !== 'node' || existsSync('/usr/bin/node')))).toEqual([])
    const versions = await base.commands.run('python --version; python3 --version; sudo python --version')
    expect(new Set(versions.stdout.trim().split('\n')).size).toBe(1)
    const attribute = await base.commands.run('touch f && setfattr -n user.colour -v blue f && getfattr --only-values -n user.colour f')
    expect(attribute.stdout).toBe('blue')
  })
})

describe('Python', () => {
  const LIBRARIES = ['IPython', 'numpy', 'pandas', 'matplotlib', 'PIL', 'scipy', 'sklearn', 'sympy', 'openpyxl', 'requests', 'bs4', 'lxml']
  const MORE = ['seaborn', 'tabulate', 'networkx', 'yaml', 'xlsxwriter', 'pypdf']

  test.each([...LIBRARIES, ...MORE])('has %s, compiled', async (name) => {
    const source = `import ${name}, os, sys; assert os.path.exists(${name}.__cached__ or ""), ${name}.__cached__; print(${name}.__file__)`
    const { stdout, stderr, exitCode } = await sandbox.commands.run(`python3 -c '${source}'`)
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' })
    expect(stdout).toMatch(/^\/caisson\/python\//)
  })

  test('knows nothing of where it was made', async () => {
    const { stdout } = await sandbox.commands.run(
      'cat /caisson/python/pyvenv.cfg; head -1 /caisson/python/bin/pip /caisson/python/bin/ipython',
    )
    expect(stdout).toContain('#!/caisson/python/bin/python')
    expect(stdout).not.toMatch(/templates|partial|\.caisson/)
  })

  test('matplotlib finds its fonts without looking for them', async () => {
    const source =
      'import logging; logging.basicConfig(level=logging.INFO); import matplotlib.font_manager as f; print(len(f.fontManager.ttflist))'
    const { stdout, stderr, exitCode } = await sandbox.commands.run(`HOME=/tmp/elsewhere python3 -c '${source}'`)
    expect(exitCode).toBe(0)
    expect(Number(stdout)).toBeGreaterThan(10)
    expect(stderr).not.toContain('generated new fontManager')
  })
})
