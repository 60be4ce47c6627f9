/** When this table was last checked against the published advisories. Later versions are judged by what was known then. */
export const READ_ON = '2026-11-26'

interface Advisory {
  readonly id: string
  readonly what: string
  /** The first fixed release of each series, oldest first. A series that is not listed, and is older than the last one listed, is affected. */
  readonly mended: readonly [string, ...string[]]
}

/** Only advisories for the devices of our machines (serial, disk and network, all memory-mapped). */
const ADVISORIES: readonly Advisory[] = [
  {
    id: 'CVE-2023-6693',
    mended: ['7.2.9', '8.2.1'],
    what: 'root inside can write past a header of its network card, on the stack of QEMU',
  },
  { id: 'CVE-2024-3446', mended: ['7.2.11', '8.2.3', '9.0.0'], what: 'root inside can have memory of the serial port freed twice' },
  {
    id: 'CVE-2024-6505',
    mended: ['7.2.14', '9.0.3', '9.1.0'],
    what: 'root inside can make the network card use a queue that is not there',
  },
  { id: 'CVE-2024-8612', mended: ['9.2.0'], what: 'root inside can read memory of QEMU that was never written, by its disk' },
  { id: 'CVE-2026-48914', mended: ['11.1.0'], what: 'root inside can have QEMU write past a buffer, by a SCSI request to its disk' },
  { id: 'CVE-2026-50626', mended: ['11.1.0'], what: 'root inside can give a device a longer queue than there is room for' },
]

/** The advisories that affect this version; all of them if the version is unknown. Distribution backports without a new version number are not recognised. */
export function advisoriesFor(version: string): readonly Advisory[] {
  return ADVISORIES.filter(({ mended }) => !isMended(parts(version), mended.map(parts)))
}

type Version = readonly [major: number, minor: number, patch: number]

function isMended(version: Version, mended: readonly Version[]): boolean {
  const newest = mended.at(-1)
  const own = mended.find(([major, minor]) => major === version[0] && minor === version[1]) ?? newest
  return own !== undefined && order(version, own) >= 0
}

function parts(version: string): Version {
  const [major = 0, minor = 0, patch = 0] = version.split('.').map((part) => Number(part) || 0)
  return [major, minor, patch]
}

function order(one: Version, other: Version): number {
  return one[0] - other[0] || one[1] - other[1] || one[2] - other[2]
}
