import assert from 'node:assert/strict'
import { Sandbox } from 'e2b'
import { eventually, finish, step } from '../javascript/steps.mjs'

/** Two servers of this machine that its operator lets rules open: address:port. */
const [one, other] = [process.env.FIRST_SERVER, process.env.SECOND_SERVER]
const addressOf = (server) => server.split(':')[0]
const ALL = '0.0.0.0/0'

const sandbox = await Sandbox.create({
  timeoutMs: 120_000,
  network: { allowOut: [addressOf(one)], denyOut: ({ allTraffic }) => [allTraffic] },
})

/** What curl says inside: the server's own words, or those of the refusal. */
async function asked(server, of = sandbox) {
  const { stdout } = await of.commands.run(`curl -sS --max-time 20 http://${server}/ 2>&1 || true`)
  return stdout
}

await step('what is allowed is reached, what is not is refused with the rule that would allow it', async () => {
  assert.equal(await asked(one), 'hello')
  const refusal = JSON.parse(await asked(other))
  assert.equal(refusal.code, 'NETWORK_DENIED')
  assert.equal(refusal.wouldAllow, other)
})

await step('what holds is told', async () => {
  const { network, allowInternetAccess } = await sandbox.getInfo()
  assert.deepEqual([network.allowOut, network.denyOut, allowInternetAccess], [[addressOf(one)], [ALL], true])
})

await step('an update replaces all of it, at once, and ends what it no longer allows', async () => {
  const held = await sandbox.commands.run(
    `python3 -c "
import socket
s = socket.create_connection(('${addressOf(one)}', ${one.split(':')[1]}))
print('open', flush=True)
try:
    print(s.recv(1))
except OSError as error:
    print(type(error).__name__)
"`,
    { background: true },
  )
  await eventually('a connection', () => held.stdout.startsWith('open'))
  await sandbox.updateNetwork({ allowOut: [addressOf(other)], denyOut: [ALL] })
  assert.match((await held.wait()).stdout, /ConnectionResetError|b''/)
  assert.equal(JSON.parse(await asked(one)).code, 'NETWORK_DENIED')
  assert.equal(await asked(other), 'hello')
})

await step('rules outlive a pause', async () => {
  await sandbox.pause()
  await Sandbox.updateNetwork(sandbox.sandboxId, { allowOut: [addressOf(one)], denyOut: [ALL] })
  await sandbox.connect()
  assert.equal(await asked(one), 'hello')
  assert.equal(JSON.parse(await asked(other)).code, 'NETWORK_DENIED')
})

await step('without internet access nothing is reached, and it can be given later', async () => {
  const closed = await Sandbox.create({ timeoutMs: 120_000, allowInternetAccess: false })
  assert.equal(JSON.parse(await asked(one, closed)).rule, `deny ${ALL}`)
  assert.equal((await closed.getInfo()).allowInternetAccess, false)
  await closed.updateNetwork({ allowOut: [addressOf(one)] })
  assert.equal(await asked(one, closed), 'hello')
  await closed.updateNetwork({})
  // What the operator named is not public: an open sandbox does not reach it.
  assert.equal(JSON.parse(await asked(one, closed)).rule, 'mode open')
  const { network, allowInternetAccess } = await closed.getInfo()
  assert.deepEqual([network.allowOut, network.denyOut, allowInternetAccess], [[], [], true])
  await closed.kill()
})

await step('addresses that nobody named are out of reach, whatever a caller allows', async () => {
  await sandbox.updateNetwork({ allowOut: ['10.0.0.0/8', '169.254.169.254', ALL] })
  for (const server of ['10.99.99.99', '169.254.169.254']) assert.match(JSON.parse(await asked(server)).rule, /^reserved /)
  assert.equal(await asked(other), 'hello')
})

await step('what leaves goes through a proxy where there is one, whose password is told to nobody', async () => {
  const address = process.env.EGRESS_PROXY
  const [username, password] = process.env.EGRESS_PROXY_WORDS.split(':')
  const lists = { allowOut: [addressOf(one)], denyOut: [ALL] }
  await sandbox.updateNetwork({ ...lists, egressProxy: { address, username, password: 'not this' } })
  assert.equal(JSON.parse(await asked(one)).code, 'NETWORK_UNREACHABLE')
  await sandbox.updateNetwork({ ...lists, egressProxy: { address, username, password } })
  assert.equal(await asked(one), 'hello')
  assert.equal(JSON.parse(await asked(other)).code, 'NETWORK_DENIED')
  assert.deepEqual((await sandbox.getInfo()).network.egressProxy, { address, username })
  await sandbox.pause()
  await sandbox.connect()
  assert.equal(await asked(one), 'hello')
  // Private, and not named by the operator; and a name without an address.
  for (const nobody of ['10.99.99.99:1080', 'nobody.invalid:1080'])
    await assert.rejects(sandbox.updateNetwork({ egressProxy: { address: nobody } }), /egress proxy/)
  const second = await Sandbox.create({ timeoutMs: 120_000, network: { ...lists, egressProxy: { address, username, password } } })
  assert.equal(await asked(one, second), 'hello')
  assert.equal((await second.commands.run('env; cat /proc/*/environ 2>/dev/null; true')).stdout.includes(password), false)
  await second.kill()
  await sandbox.updateNetwork(lists)
  assert.deepEqual([await asked(one), (await sandbox.getInfo()).network.egressProxy], ['hello', undefined])
  await sandbox.updateNetwork({ allowOut: [addressOf(other)], denyOut: [ALL] })
})

await step('rules that say nothing sensible are refused, and those that hold stay', async () => {
  await assert.rejects(sandbox.updateNetwork({ allowOut: ['example.com'] }), /domain/)
  await assert.rejects(sandbox.updateNetwork({ denyOut: ['example.com'] }), /denyOut\.0/)
  await assert.rejects(Sandbox.create({ network: { allowOut: ['not a name'], denyOut: [ALL] } }), /allowOut\.0/)
  assert.equal(await asked(other), 'hello')
  await assert.rejects(Sandbox.updateNetwork('inotthereatall', {}), /404|not found/i)
})

await sandbox.kill()
finish()
