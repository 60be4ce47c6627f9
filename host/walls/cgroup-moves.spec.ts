import { expect, test } from 'vitest'
import { cgroupMoves } from './cgroup-moves.ts'

const mounted = (options: string) =>
  `23 1 0:21 / /sys rw - sysfs sys rw\n30 23 0:25 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 ${options}\n`

test('a machine whose groups are not meant to change often is told what that costs, and what mends it', () => {
  const [finding] = cgroupMoves(mounted('rw,nsdelegate,memory_recursiveprot'), '6.1.0-56-cloud-amd64')
  expect(finding).toMatchObject({ what: 'cgroup moves', severity: 'degraded', mend: 'sudo mount -o remount,favordynmods /sys/fs/cgroup' })
})

test('where they are, or where the kernel knows no such thing, there is nothing to mend', () => {
  expect(cgroupMoves(mounted('rw,nsdelegate,favordynmods'), '6.12.3')).toMatchObject([{ severity: 'fine' }])
  expect(cgroupMoves(mounted('rw,nsdelegate'), '5.15.0-generic')).toEqual([])
})
