import { Fault } from '@caisson/wire'
import { Command, CommanderError } from 'commander'

/** A verb's own parser: it throws instead of printing and exiting, so that every error has one form. */
export function verbParser(name: string): Command {
  return new Command(`caisson ${name}`)
    .exitOverride()
    .configureOutput({ writeErr: () => undefined })
    .allowExcessArguments(false)
    .helpOption('-h, --help', 'say this')
}

/** False: help was asked for and has been printed. */
export function parsed(command: Command, argv: readonly string[]): boolean {
  try {
    command.parse([...argv], { from: 'user' })
    return true
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    if (error.code === 'commander.helpDisplayed') return false
    const message = error.message.replace(/^error: /, '').replace(/\n.*/s, '')
    throw new Fault('BAD_REQUEST', message, { hint: `\`${command.name()} --help\` lists what there is.`, cause: error })
  }
}

/** For options that may be given several times. */
export function collected(value: string, before: string[]): string[] {
  return [...before, value]
}
