import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

const templates = process.env['CAISSON_TEMPLATES'] ?? join(process.env['CAISSON_HOME'] ?? join(homedir(), '.caisson'), 'templates')

/** Whether the templates were made on a machine that has R, which no machine needs to have. */
export const hasR = (JSON.parse(readFileSync(join(templates, 'base/template.json'), 'utf8')) as { languages: string[] }).languages.includes(
  'r',
)
