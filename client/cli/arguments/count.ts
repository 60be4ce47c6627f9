import { Fault } from '@caisson/wire'

/** A positive whole number, or `none`. */
export function countOrNone(text: string): number | null {
  if (text === 'none') return null
  const count = /^\d{1,9}$/.test(text) ? Number(text) : 0
  if (count < 1)
    throw new Fault('BAD_SIZE', `${JSON.stringify(text)} is not a number of processes`, {
      hint: 'Give a whole number such as 128, or none.',
    })
  return count
}

/** A positive whole number of `things`. */
export function count(things: string): (text: string) => number {
  return (text) => {
    const number = /^\d{1,9}$/.test(text) ? Number(text) : 0
    if (number >= 1) return number
    throw new Fault('BAD_SIZE', `${JSON.stringify(text)} is not a number of ${things}`, { hint: 'Give a whole number such as 3.' })
  }
}

/** A positive number of processors, thousandths included, or `none`. */
export function cpusOrNone(text: string): number | null {
  if (text === 'none') return null
  const cpus = /^\d{1,4}(\.\d{1,3})?$/.test(text) ? Number(text) : 0
  if (cpus <= 0)
    throw new Fault('BAD_SIZE', `${JSON.stringify(text)} is not a number of processors`, {
      hint: 'Give a number such as 1, 0.5 or 2; or none.',
    })
  return cpus
}
