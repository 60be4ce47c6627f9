import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { attack, python, shared } from './attack.ts'
import { Project } from './project-folder.ts'

const project = await Project.make()
/** For the attack without the wall. */
const unguarded = await Project.make()
const wall = shared({ profile: 'project', folder: project.folder, network: 'none' })
afterAll(() => Promise.all([project, unguarded].map((one) => one[Symbol.asyncDispose]())))

attack(wall, 'changing what the host acts on', {
  why: 'git and editors run what hooks and settings of a folder say, with the rights of whoever stands in it (CVE-2026-25725)',
  facts: (walled) => ({ folder: (walled ? project : unguarded).folder }),
  stoppedBy: /^(EROFS|EBUSY|EXDEV|EEXIST|ENOTEMPTY|EACCES|EPERM|ENOENT)/,
  untouched: () => project.check(),
  users: ['user'],
  code: python`
os.chdir(facts['folder'])

def put(path, text='changed'):
    os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
    with open(path, 'a') as file:
        file.write(text)
    return path

for path in ['.git/config', '.git/hooks/pre-commit', '.git/hooks/post-checkout', '.git/commondir', '.git/config.worktree', './/.git/./config',
             'nested/library/.git/config', 'nested/library/.git/hooks/post-checkout', '.husky/pre-commit', '.vscode/tasks.json', '.claude/settings.json']:
    way(path)(lambda path=path: put(path))

@way('a hook made from outside of its folder')
def moved_in():
    put('hook')
    os.rename('hook', '.git/hooks/update')
    return 'moved'

@way('permissions')
def permissions():
    os.chmod('.git/hooks/pre-commit', 0o777)
    return 'changed'

@way('another repository in its place')
def replaced():
    os.rename('.git', 'old')
    os.mkdir('.git')
    put('.git/config')
    return 'replaced'

@way('the same, of one below')
def replaced_below():
    os.rename('nested', 'older')
    return put('nested/library/.git/config')

@way('the repository exchanged')
def exchanged():
    os.makedirs('other', exist_ok=True)
    syscall('renameat2', -100, b'other', -100, b'.git', 2)
    return 'exchanged'

@way('an empty one removed')
def removed():
    os.makedirs('.cursor', exist_ok=True)
    os.rmdir('.cursor')
    return put('.cursor/rules')
`,
})

test('where there is no repository, none can be made; when the sandbox has ended, nothing of that is left', async () => {
  await using bare = await Project.make()
  execFileSync('rm', ['-rf', `${bare.folder}/.git`, `${bare.folder}/.husky`])
  const { Sandbox } = await import('../../client/index.ts')
  const sandbox = await Sandbox.create({ profile: 'project', folder: bare.folder, network: 'none' })
  try {
    const made = await sandbox.commands.run(['sh', '-c', 'git init; mkdir -p .git/hooks; mv .git x; ls -A .git; echo new >new'])
    expect(made.stderr).toMatch(/Read-only file system/)
    expect(made.stdout).toBe('')
    for (const path of ['.husky/pre-commit', '.githooks/pre-commit', '.devcontainer/devcontainer.json', '.vscode/tasks.json']) {
      const { stderr } = await sandbox.commands.run(['sh', '-c', `mkdir -p ${path.split('/')[0]} && echo x >${path}`])
      expect([path, stderr]).toEqual([path, expect.stringContaining('Read-only file system')])
    }
  } finally {
    await sandbox.kill()
  }
  const left = execFileSync('ls', ['-A', bare.folder], { encoding: 'utf8' }).split('\n')
  expect(left).not.toContain('.git')
  for (const name of ['.claude', '.husky', '.githooks', '.devcontainer']) expect(left).not.toContain(name)
  expect(left).toContain('new')
})

test('whose turn ends first takes no wall from another in the same folder, whatever that is called', async () => {
  const { Sandbox } = await import('../../client/index.ts')
  const above = await mkdtemp(join(tmpdir(), 'cai-'))
  try {
    const folder = join(above, 'my project')
    await mkdir(folder)
    const wishes = { profile: 'project', folder, network: 'none' } as const
    await using longer = await Sandbox.create(wishes)
    await (await Sandbox.create(wishes)).kill()
    const made = await longer.commands.run(['sh', '-c', 'mkdir -p .git/hooks'])
    expect(made.stderr).toMatch(/Read-only file system/)
    await longer.kill()
    expect(execFileSync('ls', ['-A', folder], { encoding: 'utf8' })).toBe('')
  } finally {
    await rm(above, { recursive: true })
  }
})
