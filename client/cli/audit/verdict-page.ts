import type { Verified } from '../../embedded.ts'
import { oneLine } from '../ending.ts'

/** The result of verifying the whole log. `isOwnKey`: it was verified with the key stored beside it. */
export function verdictPage(
  folder: string,
  { bad, records, files, checkpoints, unsigned, end, told }: Verified,
  isOwnKey: boolean,
): string {
  const lines = [`${folder}: ${counted(records, 'record')} in ${counted(files, 'file')}`]
  for (const { file, line, what } of told) lines.push(`  told: ${file}, line ${line}: ${what}`)
  if (bad !== null) return [...lines, `NOT WHAT WAS WRITTEN: ${place(bad)}: ${bad.what}`, ''].map(oneLine).join('\n')
  lines.push(
    `${counted(checkpoints, 'signed checkpoint')}; ${counted(unsigned, 'record')} after the last one, for which the chain alone vouches`,
  )
  if (end !== null) lines.push(`ends with record ${end.seq}, ${end.hash}`)
  if (isOwnKey) lines.push('checked with the key beside the log: a copy of it from elsewhere (--key) says more')
  lines.push('Every record is what was written.', '')
  return lines.map(oneLine).join('\n')
}

function place({ file, line }: { file: string; line: number }): string {
  return line === 0 ? file : `${file}, line ${line}`
}

function counted(count: number, thing: string): string {
  return `${count} ${thing}${count === 1 ? '' : 's'}`
}
