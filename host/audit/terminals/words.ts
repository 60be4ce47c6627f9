import { randomInt } from 'node:crypto'

/** The root state. */
const START = 0
/** Odd and secret: otherwise keys crafted to collide would degrade the table to a list. */
const [BY_PLACE, BY_CHARACTER] = [randomInt(2 ** 31) * 2 + 1, randomInt(2 ** 31) * 2 + 1]

/**
 * Searches a text for all words in one pass, however many and however similar they are (Aho and Corasick, 1975). The sandbox chooses both the text and some of
 * the words, and must not be able to choose the running time. A place (state) stands for the longest suffix of the input that is a prefix of a word.
 */
export class Words {
  /** An open-addressing hash table from a place and a character to the next place. No key is 0, and no transition leads to the root. */
  readonly #keys: Float64Array
  readonly #places: Int32Array
  readonly #bits: number
  /** By place: its failure link, the longest proper suffix that is also a place. */
  readonly #shorter: Int32Array
  readonly #depths: Int32Array
  /** By place: the length of the longest word that ends there; 0: none. */
  readonly #ending: Int32Array

  /** No word may be empty. */
  constructor(words: readonly string[]) {
    const most = words.reduce((sum, { length }) => sum + length, 1)
    this.#bits = Math.ceil(Math.log2(most * 2))
    this.#keys = new Float64Array(2 ** this.#bits)
    this.#places = new Int32Array(2 ** this.#bits)
    const [parents, characters] = [new Int32Array(most), new Uint16Array(most)]
    const [depths, ending] = [new Int32Array(most), new Int32Array(most)]
    let count = 1
    for (const word of words) {
      let place = START
      for (let at = 0; at < word.length; at += 1) {
        const slot = this.#slot(place, word.charCodeAt(at))
        if (this.#keys[slot] === 0) {
          this.#keys[slot] = keyOf(place, word.charCodeAt(at))
          this.#places[slot] = count
          parents[count] = place
          characters[count] = word.charCodeAt(at)
          depths[count] = at + 1
          count += 1
        }
        place = this.#places[slot] as number
      }
      ending[place] = word.length
    }
    this.#depths = depths.slice(0, count)
    this.#ending = ending.slice(0, count)
    this.#shorter = new Int32Array(count)
    // Shorter places first: their links are needed by the longer ones.
    const byDepth = new Int32Array(count).map((_, place) => place).sort((one, other) => at(depths, one) - at(depths, other))
    for (const place of byDepth.subarray(1)) {
      const parent = at(parents, place)
      const shorter = parent === START ? START : this.next(at(this.#shorter, parent), at(characters, place))
      this.#shorter[place] = shorter
      this.#ending[place] ||= at(this.#ending, shorter)
    }
  }

  /** The transition for a character; 0 is the root. */
  next(place: number, character: number): number {
    for (let from = place; ; from = at(this.#shorter, from)) {
      const to = at(this.#places, this.#slot(from, character))
      if (to !== START || from === START) return to
    }
  }

  /** How many of the last characters may belong to a word. */
  depth(place: number): number {
    return at(this.#depths, place)
  }

  /** Length of the longest word that ends here; 0: none. */
  found(place: number): number {
    return at(this.#ending, place)
  }

  #slot(place: number, character: number): number {
    const key = keyOf(place, character)
    const last = this.#keys.length - 1
    const first = (Math.imul(place + 1, BY_PLACE) + Math.imul(character + 1, BY_CHARACTER)) >>> (32 - this.#bits)
    for (let slot = first; ; slot = (slot + 1) & last) {
      if (this.#keys[slot] === key || this.#keys[slot] === 0) return slot
    }
  }
}

function keyOf(place: number, character: number): number {
  return place * 0x10000 + character + 1
}

function at(numbers: Int32Array | Uint16Array, index: number): number {
  return numbers[index] as number
}
