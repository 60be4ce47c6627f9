import { Fault, type WallName } from '@caisson/wire'
import { expect, test } from 'vitest'
import { firstBuilt, strongEnough } from './wall-choice.ts'

const here = (...walls: WallName[]) => {
  return async (wall: WallName) => {
    if (!walls.includes(wall)) throw new Fault('WALL_UNAVAILABLE', `there is no ${wall}`)
    return wall.length
  }
}

test('of a profile’s walls the first that is here is given, and what was not is said', async () => {
  expect(await firstBuilt(['gvisor', 'container'], 'p', here('gvisor', 'container'))).toEqual({
    name: 'gvisor',
    built: 6,
    reason: 'the first choice of profile p',
  })
  expect(await firstBuilt(['microvm', 'gvisor', 'container'], 'p', here('container'))).toMatchObject({
    name: 'container',
    reason: 'the next choice of profile p; microvm is not here: there is no microvm; gvisor is not here: there is no gvisor',
  })
  expect(await firstBuilt(['container'], 'p', here('container'))).toMatchObject({ reason: 'named by profile p' })
})

test('none that the profile does not name is given, and nothing but its absence passes one over', async () => {
  await expect(firstBuilt(['microvm', 'gvisor'], 'p', here('container'))).rejects.toMatchObject({ code: 'WALL_UNAVAILABLE' })
  const broken = async () => {
    throw new Fault('CANCELLED', 'given up')
  }
  await expect(firstBuilt(['gvisor', 'container'], 'p', broken)).rejects.toMatchObject({ code: 'CANCELLED' })
})

test('what a key demands takes away what is weaker; where nothing is left, it is the demand itself', () => {
  const profile = { wall: ['gvisor', 'container'] as WallName[] }
  expect(strongEnough(profile, 'container')).toEqual(['gvisor', 'container'])
  expect(strongEnough(profile, 'gvisor')).toEqual(['gvisor'])
  expect(strongEnough(profile, 'microvm')).toEqual(['microvm'])
  expect(strongEnough({ wall: 'container' }, 'gvisor')).toEqual(['gvisor'])
})
