import { Fault } from '@caisson/wire'
import { type AddHelpTextContext, Command, CommanderError, type Option } from 'commander'

const COLUMNS = 80

/** A verb's parser. It throws instead of printing and exiting, so that all errors look the same. */
export function verbParser(name: string): Command {
  return new Command(`caisson ${name}`)
    .exitOverride()
    .configureOutput({ writeErr: () => undefined })
    .configureHelp({ optionDescription: described })
    .allowExcessArguments(false)
    .helpOption('-h, --help', 'show this help')
}

/** False: help was requested and has been printed. */
export function parsed(command: Command, argv: readonly string[]): boolean {
  try {
    command.parse([...argv], { from: 'user' })
    return true
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    if (error.code === 'commander.helpDisplayed') return false
    const message = error.message.replace(/^error: /, '').replace(/\n.*/s, '')
    throw new Fault('BAD_REQUEST', message, { hint: `See \`${command.name()} --help\`.`, cause: error })
  }
}

/** For options that may be repeated. */
export function collected(value: string, before: string[]): string[] {
  return [...before, value]
}

/** Help text below the options, fitted to the terminal: paragraphs are refilled, indented lines (examples) are kept. */
export function fitted(text: string): (context: AddHelpTextContext) => string {
  return ({ command }) => {
    const width = command.configureOutput().getOutHelpWidth?.() ?? COLUMNS
    const help = command.createHelp()
    const lines = text.replaceAll(/(?<=^\S.*)\n(?=\S)/gm, ' ').split('\n')
    return lines.map((line) => (line.startsWith(' ') ? line : help.boxWrap(line, width))).join('\n')
  }
}

/** Leaves out the defaults of switches and lists, which say nothing. */
function described({ description, defaultValue, defaultValueDescription }: Option): string {
  const isPlain = typeof defaultValue === 'string' || typeof defaultValue === 'number'
  const shown = defaultValueDescription ?? (isPlain ? String(defaultValue) : undefined)
  return shown === undefined ? description : `${description} (default: ${shown})`
}
