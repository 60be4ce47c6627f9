/** Final letters of the ESC [ sequences that draw: move, erase, insert, delete, colour. None makes a terminal respond. */
const DRAWING = /^[@-HJ-MPSTXZ`abd-fmrsu]$/
/** With a question mark, some of them are queries (`?u` keys, `?m` modifiers, `?S` graphics) or restore modes (`?r`); these two only erase. */
const ASKING = '?'
const ERASING = /^[JK]$/
/** With this many parameters, T means mouse tracking. */
const FOLLOWING = /^.\[[^;]*;.*T$/
/** Cursor, line wrap, alternate screen; not the mouse or any other mode that makes a terminal send input by itself. */
const SCREEN_MODES = /^.\[(4|\?(6|7|12|25|47|1047|1048|1049)(;(7|12|25))*)$/
const MAX_SEQUENCE = 64
/** ESC and one of these starts a control string for the terminal itself (title, clipboard, keys, graphics), up to its terminator. */
const STRINGS = 'P]X^_'
/** Control characters that move the cursor, and BEL. */
const PLAIN = '\n\r\t\b\x07'

/**
 * Filters terminal output written inside the sandbox: it keeps what draws and drops what would make the terminal act or respond (title, clipboard, reports that
 * the terminal types by itself). A sequence may be split anywhere.
 */
export class Harmless {
  #state: 'text' | 'escape' | 'sequence' | 'ignored' | 'charset' | 'string' | 'string-escape' = 'text'
  #held = ''

  write(text: string): string {
    let shown = ''
    for (const character of text) shown += this.#take(character)
    return shown
  }

  #take(character: string): string {
    switch (this.#state) {
      case 'text':
        return this.#text(character)
      case 'escape':
        return this.#escape(character)
      case 'sequence':
        return this.#sequence(character)
      case 'ignored':
        if (character >= '@' && character <= '~') this.#state = 'text'
        return ''
      case 'charset':
        this.#state = 'text'
        return /[0-9A-Za-z]/.test(character) ? `${this.#held}${character}` : ''
      case 'string':
        if (character === '\x07' || character === '\x9c') this.#state = 'text'
        else if (character === '\x1b') this.#state = 'string-escape'
        return ''
      default:
        this.#state = character === '\\' ? 'text' : 'string'
        return ''
    }
  }

  #text(character: string): string {
    if (character === '\x1b') {
      this.#state = 'escape'
      return ''
    }
    const code = character.codePointAt(0) ?? 0
    // C1 controls are single-character forms of the same sequences.
    if (code < 0x20 || (code >= 0x7f && code < 0xa0)) return PLAIN.includes(character) ? character : ''
    return character
  }

  #escape(character: string): string {
    this.#held = `\x1b${character}`
    if (character === '[') this.#state = 'sequence'
    else if (character === '(' || character === ')') this.#state = 'charset'
    else this.#state = STRINGS.includes(character) ? 'string' : 'text'
    return '78DEM='.includes(character) || character === '>' ? this.#held : ''
  }

  #sequence(character: string): string {
    if (/^[0-9;:?]$/.test(character) && this.#held.length < MAX_SEQUENCE) {
      this.#held += character
      return ''
    }
    const isFinal = character >= '@' && character <= '~'
    // Sequences with intermediate bytes or private markers do not draw.
    this.#state = isFinal ? 'text' : 'ignored'
    const isMode = character === 'h' || character === 'l'
    const whole = `${this.#held}${character}`
    const drawing = this.#held.includes(ASKING) ? ERASING : DRAWING
    if (!isFinal || FOLLOWING.test(whole) || !(isMode ? SCREEN_MODES.test(this.#held) : drawing.test(character))) return ''
    return whole
  }
}
