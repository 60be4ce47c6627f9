import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Another way to get the same, run in the same minute on the same machine. */
export interface Reference {
  what: string
  /** Why it cannot be run here. */
  missing(): Promise<string | undefined>
  run(): Promise<void>
}

const COLD = 'import pandas, matplotlib.pyplot; print("here")'

const bwrap: Reference = {
  what: 'bwrap + python, import pandas, matplotlib',
  missing: async () => ((await succeeds('bwrap', ['--version'])) ? undefined : 'bwrap is not installed (apt-get install bubblewrap)'),
  run: async () => {
    const wall = '--ro-bind /usr /usr --symlink usr/bin /bin --symlink usr/lib /lib --symlink usr/lib64 /lib64 --proc /proc --dev /dev'
    const more = '--tmpfs /tmp --unshare-all --die-with-parent --clearenv --setenv HOME /tmp'
    const python = await templatePython()
    await ends('bwrap', [...`${wall} ${more}`.split(' '), '--ro-bind', python, '/caisson/python', '/caisson/python/bin/python', '-c', COLD])
  },
}

const unwalled: Reference = {
  what: 'python without a wall, the same imports',
  missing: async () => undefined,
  run: async () => void (await ends(`${await templatePython()}/bin/python`, ['-c', COLD])),
}

const docker: Reference = {
  what: 'docker run python, print',
  missing: async () => {
    if (!(await succeeds('docker', ['info']))) return 'no container engine answers'
    return (await succeeds('docker', ['image', 'inspect', 'python:slim'])) ? undefined : 'no image python:slim (docker pull python:slim)'
  },
  run: async () => void (await ends('docker', ['run', '--rm', '--network=none', 'python:slim', 'python', '-c', 'print("here")'])),
}

export const REFERENCES: readonly Reference[] = [bwrap, unwalled, docker]

/** Those that stand beside a wall of its own kernel. */
export const ENGINES: readonly Reference[] = [plainRunsc('import numpy; print("here")', 'runsc run python, numpy'), docker]

/** The engine by itself: a container of it, from nothing to its end. */
function plainRunsc(code: string, what: string): Reference {
  return {
    what,
    missing: async () => ((await succeeds('runsc', ['--version'])) ? undefined : 'runsc is not installed (apt-get install runsc)'),
    run: async () => {
      const folder = await mkdtemp(join(tmpdir(), 'cai-'))
      try {
        const root = join(folder, 'rootfs')
        for (const place of ['usr', 'proc', 'caisson/python']) await mkdir(join(root, place), { recursive: true })
        for (const place of ['bin', 'lib', 'lib64']) await symlink(`usr/${place}`, join(root, place))
        const bind = (source: string, destination: string) => ({ type: 'bind', source, destination, options: ['rbind', 'ro'] })
        const mounts = [
          { destination: '/proc', type: 'proc', source: 'proc' },
          bind('/usr', '/usr'),
          bind(await templatePython(), '/caisson/python'),
        ]
        const process = { user: { uid: 0, gid: 0 }, args: ['/caisson/python/bin/python', '-c', code], env: [], cwd: '/' }
        const config = {
          ociVersion: '1.0.0',
          process,
          root: { path: 'rootfs', readonly: true },
          hostname: 'plain',
          mounts,
          linux: { namespaces: ['pid', 'ipc', 'uts', 'mount'].map((type) => ({ type })) },
        }
        await writeFile(join(folder, 'config.json'), JSON.stringify(config))
        const flags = ['--network=none', '--ignore-cgroups', `--root=${join(folder, 'state')}`]
        await ends('runsc', [...flags, 'run', `--bundle=${folder}`, `plain${randomBytes(6).toString('hex')}`])
      } finally {
        await rm(folder, { recursive: true, force: true })
      }
    },
  }
}

/** The Python environment that the sandboxes of the same run use, as the plan names it. */
async function templatePython(): Promise<string> {
  const cli = fileURLToPath(new URL('caisson.cjs', import.meta.url))
  const plan: { binds: { source: string; target: string }[] } = JSON.parse(
    await ends(process.execPath, [cli, 'run', '--profile', 'code-interpreter', '--dry-run', '-c', '0']),
  )
  const bind = plan.binds.find(({ target }) => target === '/caisson/python')
  if (bind === undefined) throw new Error('the plan of the code-interpreter profile binds no Python')
  return bind.source
}

async function succeeds(command: string, args: string[]): Promise<boolean> {
  return await ends(command, args).then(
    () => true,
    () => false,
  )
}

/** Resolves to its output; rejects unless it ends with 0. */
export function ends(command: string, args: readonly string[], cwd = '/'): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] })
    const out: Buffer[] = []
    const err: Buffer[] = []
    child.stdout.on('data', (piece: Buffer) => out.push(piece))
    child.stderr.on('data', (piece: Buffer) => err.push(piece))
    child.on('error', (cause) => reject(new Error(`${command} cannot be started`, { cause })))
    child.on('close', (code) => {
      if (code === 0) resolve(Buffer.concat(out).toString('utf8'))
      else reject(new Error(`${command} ended with ${code}: ${Buffer.concat(err).toString('utf8')}`))
    })
  })
}
