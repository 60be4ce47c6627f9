/** Of a sequence that begins with ESC [, the letters that draw: move, erase, insert, delete, colour. None makes a terminal answer. */
const DRAWING = /^[@-HJ-MPSTXZ`abd-fmrsu]$/
/** With a question mark, others of them ask (`?u` what keys it tells, `?m` how, `?S` for pictures) or bring modes back (`?r`): these two erase. */
const ASKING = '?'
const ERASING = /^[JK]$/
/** With so many numbers as that it is a mouse that is followed. */
const FOLLOWING = /^.\[[^;]*;.*T$/
/** The cursor, lines that wrap, the other screen; not the mouse, nor what else makes a terminal type by itself. */
const SCREEN_MODES = /^.\[(4|\?(6|7|12|25|47|1047|1048|1049)(;(7|12|25))*)$/
const MAX_SEQUENCE = 64
/** ESC and one of these: a string for the terminal's own ears (titles, clipboard, keys, pictures), up to its end. */
const STRINGS = 'P]X^_'
/** Controls that move the cursor; and ESC, which begins the rest. */
const PLAIN = '\n\r\t\b\x07'

/**
 * What a terminal may be shown that those inside have written: what draws. What would make the terminal act or answer (its title, its clipboard, reports
 * that it types by itself) is left out. Sequences may be cut in two anywhere.
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
    // C1 controls are the same sequences in one character.
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
    // Intermediates and private marks: what they ask for is not drawing.
    this.#state = isFinal ? 'text' : 'ignored'
    const isMode = character === 'h' || character === 'l'
    const whole = `${this.#held}${character}`
    const drawing = this.#held.includes(ASKING) ? ERASING : DRAWING
    if (!isFinal || FOLLOWING.test(whole) || !(isMode ? SCREEN_MODES.test(this.#held) : drawing.test(character))) return ''
    return whole
  }
}
