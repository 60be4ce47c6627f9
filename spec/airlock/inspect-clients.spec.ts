import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, normalize } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { pythonWith } from '../e2b/python.ts'
import { lookedInto } from './looked-into.ts'

const execute = promisify(execFile)
let folder: string

const spec = lookedInto(
  {
    serve(request, response) {
      const path = normalize(new URL(request.url ?? '/', 'http://x').pathname)
      readFile(join(folder, path)).then(
        (bytes) => response.end(bytes as never),
        () => response.writeHead(404).end(),
      )
    },
  },
  ({ port }) => ({
    allow: [{ rule: `good.example:${port}`, methods: ['GET', 'HEAD'], paths: ['/hello', '/repository.git/**', '/simple/**', '/npm/**'] }],
  }),
  async () => [{ source: await packages(), target: PACKAGES, mode: 'ro' }],
)
/** Where clients are that no template has. */
const PACKAGES = '/mnt/clients'

async function packages(): Promise<string> {
  const environment = dirname(dirname(await pythonWith('../airlock/requirements-clients.txt')))
  const [version = ''] = await readdir(join(environment, 'lib'))
  return join(environment, 'lib', version, 'site-packages')
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cai-'))
  await writeFile(join(folder, 'hello'), 'hello from outside\n')
  const work = join(folder, 'work')
  await execute('git', ['init', '-q', '-b', 'main', work])
  await execute('git', ['-c', 'user.name=x', '-c', 'user.email=x@x', '-C', work, 'commit', '-q', '--allow-empty', '-m', 'first'])
  await execute('git', ['clone', '-q', '--bare', work, join(folder, 'repository.git')])
  await execute('git', ['-C', join(folder, 'repository.git'), 'update-server-info'])
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const python = (program: string) => `python3 -c "${program}"`
const withPackages = (program: string) => python(`import sys; sys.path.insert(0, '${PACKAGES}')\n${program}`)

/** Each says what it got, or why not; none has a setting of its own. */
const clients: Record<string, { command: string; needs: string }> = {
  curl: { command: 'curl -sS --max-time 20 https://HOST/PATH', needs: 'command -v curl' },
  'curl, by what the system trusts alone': { command: 'env -i curl -sS --max-time 20 https://HOST/PATH', needs: 'command -v curl' },
  'curl, CONNECT': { command: 'curl -sS --max-time 20 -x http://127.0.0.1:3128 https://HOST/PATH', needs: 'command -v curl' },
  'curl, SOCKS5': { command: 'curl -sS --max-time 20 -x socks5h://127.0.0.1:1080 https://HOST/PATH', needs: 'command -v curl' },
  wget: { command: 'wget -q -T 20 -t 1 --content-on-error -O - https://HOST/PATH', needs: 'command -v wget' },
  git: { command: 'git ls-remote https://HOST/GIT', needs: 'command -v git' },
  'python urllib': {
    command: python("import urllib.request as u; print(u.urlopen('https://HOST/PATH', timeout=20).read().decode())"),
    needs: 'command -v python3',
  },
  'python requests': {
    command: withPackages("import requests; print(requests.get('https://HOST/PATH', timeout=20).text)"),
    needs: 'command -v python3',
  },
  'python httpx': {
    command: withPackages("import httpx; print(httpx.get('https://HOST/PATH', timeout=20).text)"),
    needs: 'command -v python3',
  },
  'python aiohttp': {
    command: withPackages(
      "import asyncio, aiohttp\nasync def main():\n  async with aiohttp.ClientSession() as s, s.get('https://HOST/PATH') as r: print(await r.text())\nasyncio.run(main())",
    ),
    needs: 'command -v python3',
  },
  'node fetch': {
    command: `node -e "fetch('https://HOST/PATH').then(async (r) => console.log(await r.text()), (e) => { console.log(e.cause ?? e); process.exit(1) })"`,
    needs: 'command -v node',
  },
  'node https': {
    command: `node -e "require('https').get('https://HOST/PATH', (r) => r.pipe(process.stdout)).on('error', (e) => { console.log(e); process.exit(1) })"`,
    needs: 'command -v node',
  },
  java: {
    command: `cat >/tmp/Ask.java <<'end'
import java.net.*;
public class Ask {
  public static void main(String[] args) throws Exception {
    var asked = (HttpURLConnection) new URL(args[0]).openConnection();
    var said = asked.getResponseCode() < 400 ? asked.getInputStream() : asked.getErrorStream();
    System.out.print(new String(said.readAllBytes()));
  }
}
end
java -XX:TieredStopAtLevel=1 -Xshare:auto /tmp/Ask.java https://HOST/PATH 2>&1`,
    // Its packages of other systems have a store of their own, which nobody adds to.
    needs:
      'command -v java && readlink -f "$(dirname "$(dirname "$(readlink -f "$(command -v java)")")")/lib/security/cacerts" | grep -q "^/etc/"',
  },
  openssl: {
    command:
      "printf 'GET /PATH HTTP/1.1\\r\\nHost: HOST\\r\\nConnection: close\\r\\n\\r\\n' | openssl s_client -quiet -verify_return_error -servername good.example -connect HOST 2>&1",
    needs: 'command -v openssl',
  },
}

test.for(Object.entries(clients))('%s', { timeout: 120_000 }, async ([, { command, needs }], { skip }) => {
  const { hosted, here, web } = spec()
  if (!(await hosted.sh(`${needs} >/dev/null 2>&1 && echo yes`)).includes('yes')) skip('not in this template')
  const ask = (path: string) =>
    hosted.sh(
      command
        .replaceAll('HOST', here)
        .replaceAll('PATH', path)
        .replaceAll('GIT', path === 'hello' ? 'repository.git' : 'shut.git'),
    )
  expect(await ask('hello')).toMatch(/hello from outside|refs\/heads\/main/)
  const before = web.heard.length
  expect(await ask('shut')).toMatch(/NETWORK_DENIED|403/)
  expect(web.heard).toHaveLength(before)
})
