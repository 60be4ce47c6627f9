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

Every error has one of these codes and a message that says what was wrong and where. On the command line an error is one line, such as:

\`\`\`
caisson: FILE_MISSING: report.py does not exist. Check the path.
\`\`\`

In the SDK it is a \`Fault\` with \`code\`, \`message\` and \`hint\`; over HTTP, JSON with \`error_code\`, \`message\` and \`hint\`. This page is generated from wire/errors.ts
(\`npm run docs\`).

| Code | Meaning | What to do | Retry? | HTTP status |
|---|---|---|---|---|
${rows.join('\n')}
`
}
