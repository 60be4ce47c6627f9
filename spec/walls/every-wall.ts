import { homedir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'vitest'
import { readSettings } from '../../host/settings.ts'
import { openTemplate } from '../../host/templates/template.ts'
import { Keepers } from '../../host/walls/keepers.ts'
import { Walls } from '../../host/walls/walls.ts'
import { Fault, WALLS, type WallName } from '../../wire/index.ts'

process.env['CAISSON_TEMPLATES'] ??= join(process.env['CAISSON_HOME'] ?? join(homedir(), '.caisson'), 'templates')

/** An emulated machine that nobody has started before, on a busy host. */
const TRY_MS = 120_000

/** Why a wall cannot be had on this machine; undefined: it can. Where everything is to be proven (CI), a missing engine is no excuse. */
async function lacking(wall: WallName): Promise<string | undefined> {
  const settings = readSettings()
  await using keepers = new Keepers(settings.keeper, settings.home)
  try {
    const { machine } = await new Walls({ ...settings, keepers }, () => undefined).engine(wall, AbortSignal.timeout(TRY_MS))
    // Templates may have been built anew since their images were made.
    const { shown } = await openTemplate('base', settings, AbortSignal.timeout(TRY_MS))
    if (machine !== undefined && shown === null) throw new Fault('TEMPLATE_NOT_BUILT', 'template base has no image for machines')
    return undefined
  } catch (failure) {
    if (!(failure instanceof Fault) || process.env['CI'] === 'true') throw failure
    return failure.line
  }
}

const missing = new Map<WallName, string | undefined>()
for (const wall of WALLS) missing.set(wall, await lacking(wall))

/** The same promises, wall by wall. */
export function everyWall(body: (wall: WallName) => void): void {
  for (const wall of WALLS) onWall(wall, () => body(wall))
}

/** What is promised of one wall alone. */
export function onWall(wall: WallName, body: () => void): void {
  const why = missing.get(wall)
  if (why === undefined) describe(`wall ${wall}`, body)
  else test.skip(`wall ${wall}: ${why}`, () => undefined)
}
