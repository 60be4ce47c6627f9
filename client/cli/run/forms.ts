import type { Rich } from '@caisson/wire'

/** A representation of a result that is a file rather than text. */
export interface Picture {
  extension: string
  bytes: Uint8Array
}

/** The best representation to open rather than read. */
export function pictureOf(result: Rich): Picture | undefined {
  if (result.png !== undefined) return { extension: 'png', bytes: Buffer.from(result.png, 'base64') }
  if (result.svg !== undefined) return { extension: 'svg', bytes: Buffer.from(result.svg, 'utf8') }
  if (result.jpeg !== undefined) return { extension: 'jpg', bytes: Buffer.from(result.jpeg, 'base64') }
  if (result.pdf !== undefined) return { extension: 'pdf', bytes: Buffer.from(result.pdf, 'base64') }
  if (result.html !== undefined && textOf(result) === undefined) return { extension: 'html', bytes: Buffer.from(result.html, 'utf8') }
  return undefined
}

/** The printed text of a result. A picture prints nothing, since its text is only its type. */
export function printed(result: Rich): string | undefined {
  return pictureOf(result) === undefined ? textOf(result) : undefined
}

function textOf(result: Rich): string | undefined {
  const json = result.json === undefined ? undefined : JSON.stringify(result.json, null, 2)
  return result.text ?? result.markdown ?? result.latex ?? json
}
