interface Entry {
  status: number
  title: string
  hint: string
  retry: 'never' | 'later' | 'safe'
}

const RETRY = { never: 'no', later: 'yes, later', safe: 'yes' }

/** docs/reference/errors.md, as wire/errors.ts has it. */
export function errorsPage(catalogue: Readonly<Record<string, Entry>>): string {
  const rows = Object.entries(catalogue).map(
    ([code, { status, title, hint, retry }]) => `| \`${code}\` | ${title} | ${hint.replaceAll('|', '\\|')} | ${RETRY[retry]} | ${status} |`,
  )
  return `# Errors

Every error that Caisson reports has one of these codes, with a message that says what was wrong and where. This page is generated from
wire/errors.ts (\`npm run docs\`).

| Code | What it means | What to do | Try again? | HTTP status |
|---|---|---|---|---|
${rows.join('\n')}
`
}
