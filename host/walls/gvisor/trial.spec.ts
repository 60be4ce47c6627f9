import { chmod, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readSettings } from '../../settings.ts'
import { tryPlatform } from './trial.ts'

/** As versions are that tell nothing, or not all. */
const UNTELLING = [
  [
    'does not know trace points',
    'case "$*" in *pod-init-config*) echo "flag provided but not defined" >&2; exit 1;; esac',
    'it has not connected',
  ],
  [
    'tells of no command that it cannot write down',
    `config=$(echo "$*" | sed 's/.*--pod-init-config=\\([^ ]*\\).*/\\1/'); python3 - "$config" <<'END'
import json, socket, sys
end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
end.connect(json.load(open(sys.argv[1]))["trace_session"]["sinks"][0]["config"]["endpoint"])
end.send(b"\\x08\\x01"); end.recv(16)
for word in (b"one", b"two"): end.send(b"\\x08\\0\\x01\\0\\0\\0\\0\\0" + b"\\x22\\x03" + word)
END`,
    'of 2 commands it told 2, and of 1 that it cannot tell, 0 were known',
  ],
  [
    'sends what is none',
    `config=$(echo "$*" | sed 's/.*--pod-init-config=\\([^ ]*\\).*/\\1/'); python3 - "$config" <<'END'
import json, socket, sys
end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
end.connect(json.load(open(sys.argv[1]))["trace_session"]["sinks"][0]["config"]["endpoint"])
end.send(b"\\x08\\x01"); end.recv(16); end.send(b"\\xff")
END`,
    'a malformed trace point: no header',
  ],
] as const

let scratch: string
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'cai-'))
})
afterAll(() => rm(scratch, { recursive: true, force: true }))

test.each(UNTELLING)('a runsc that %s is used, and does not count as a record of what runs', async (_what, does, why) => {
  const program = join(scratch, 'runsc')
  await writeFile(program, `#!/bin/sh\n${does}\necho "hello from inside"\n`)
  await chmod(program, 0o755)
  const { agent, keeper } = readSettings()
  const cache = join(scratch, 'cache')
  const runsc = { program, version: '1', stamp: '' }
  const tried = await tryPlatform(runsc, 'ptrace', { agent, keeper, cache }, new AbortController().signal)
  expect(tried).toMatchObject({ refusesStatx: false, untraced: why })
  expect(await readdir(cache)).toEqual([])
})
