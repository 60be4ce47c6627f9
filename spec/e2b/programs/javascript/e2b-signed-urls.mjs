import assert from 'node:assert/strict'
import { Sandbox } from 'e2b'
import { finish, step } from './steps.mjs'

const sandbox = await Sandbox.create({ timeoutMs: 120_000 })
const other = await Sandbox.create({ timeoutMs: 120_000 })

/** As a browser sends a form. */
function form(text, name = 'file') {
  const data = new FormData()
  data.append('file', new Blob([text]), name)
  return { method: 'POST', body: data }
}

await step('download: by address alone', async () => {
  await sandbox.files.write('plain.txt', 'This file is signed.')
  const response = await fetch(await sandbox.downloadUrl('plain.txt'))
  assert.equal(response.status, 200)
  assert.equal(await response.text(), 'This file is signed.')
})

await step('download: with a user, with an end, and past it', async () => {
  assert.equal(await (await fetch(await sandbox.downloadUrl('plain.txt', { user: 'user' }))).text(), 'This file is signed.')
  const timely = await sandbox.downloadUrl('plain.txt', { useSignatureExpiration: 120 })
  assert.equal(await (await fetch(timely)).text(), 'This file is signed.')
  const late = await fetch(await sandbox.downloadUrl('plain.txt', { useSignatureExpiration: -120 }))
  assert.equal(late.status, 401)
  assert.deepEqual(await late.json(), { code: 401, message: 'signature is already expired' })
})

await step('download: a part, by range', async () => {
  const response = await fetch(await sandbox.downloadUrl('plain.txt'), { headers: { range: 'bytes=5-8' } })
  assert.equal(response.status, 206)
  assert.equal(await response.text(), 'file')
})

await step('upload: a form, a field, raw bytes', async () => {
  const response = await fetch(await sandbox.uploadUrl('up.txt'), form('uploaded'))
  assert.equal(response.status, 200)
  assert.deepEqual(await response.json(), [{ path: '/home/user/up.txt', name: 'up.txt', type: 'file' }])
  assert.equal(await sandbox.files.read('up.txt'), 'uploaded')
  const field = new FormData()
  field.append('file', 'a plain field')
  assert.equal((await fetch(await sandbox.uploadUrl('field.txt'), { method: 'POST', body: field })).status, 200)
  assert.equal(await sandbox.files.read('field.txt'), 'a plain field')
  const raw = { method: 'POST', body: 'raw', headers: { 'content-type': 'application/octet-stream' } }
  assert.equal((await fetch(await sandbox.uploadUrl('raw.txt'), raw)).status, 200)
  assert.equal(await sandbox.files.read('raw.txt'), 'raw')
})

await step('upload and download as root', async () => {
  const response = await fetch(await sandbox.uploadUrl('root.txt', { user: 'root' }), form('by root'))
  assert.deepEqual(await response.json(), [{ path: '/root/root.txt', name: 'root.txt', type: 'file' }])
  assert.equal(await (await fetch(await sandbox.downloadUrl('/root/root.txt', { user: 'root' }))).text(), 'by root')
  assert.equal((await sandbox.files.getInfo('root.txt', { user: 'root' })).owner, 'root')
})

await step('upload: past its end nothing is written', async () => {
  const response = await fetch(await sandbox.uploadUrl('late.txt', { useSignatureExpiration: -1 }), form('x'))
  assert.equal(response.status, 401)
  assert.equal(await sandbox.files.exists('late.txt'), false)
})

await step('an address for one thing opens no other', async () => {
  const address = new URL(await sandbox.downloadUrl('plain.txt'))
  const changed = (name, value) => {
    const copy = new URL(address)
    copy.searchParams.set(name, value)
    return copy
  }
  for (const attempt of [
    changed('path', '/etc/passwd'),
    changed('path', './plain.txt'),
    changed('username', 'root'),
    changed('signature', `${address.searchParams.get('signature').slice(0, -1)}_`),
    changed('signature', ''),
    changed('signature_expiration', '9999999999'),
  ]) {
    assert.equal((await fetch(attempt)).status, 401, attempt.search)
  }
  assert.equal((await fetch(address, form('overwritten'))).status, 401)
  assert.equal(await sandbox.files.read('plain.txt'), 'This file is signed.')
  const unsigned = new URL(address)
  unsigned.searchParams.delete('signature')
  assert.equal((await fetch(unsigned)).status >= 400, true)
})

await step('each sandbox answers for its own files', async () => {
  await other.files.write('plain.txt', 'The other one.')
  assert.equal(await (await fetch(await other.downloadUrl('plain.txt'))).text(), 'The other one.')
  assert.equal(await (await fetch(await sandbox.downloadUrl('plain.txt'))).text(), 'This file is signed.')
})

await step('a file that is not there is 404, in the right words', async () => {
  const response = await fetch(await sandbox.downloadUrl('nope.txt'))
  assert.equal(response.status, 404)
  assert.match((await response.json()).message, /path '.*nope\.txt' does not exist/)
})

await step('when the sandbox is gone, so are its addresses', async () => {
  const address = await other.downloadUrl('plain.txt')
  await other.kill()
  assert.notEqual((await fetch(address)).status, 200)
})

await sandbox.kill()
finish()
