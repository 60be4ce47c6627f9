import type { Answer, Question } from './exchange.ts'
import type { Keeping, KeptAnswers } from './kept-answers.ts'

/** How a request's answers are cached. */
export interface Keep {
  readonly answers: KeptAnswers
  /** Replay: no server is ever asked. */
  readonly isReplay: boolean
}

export interface Kept {
  readonly answer: Answer
  readonly keeping: Keeping | undefined
}

/** The cached answer if it cannot have changed; otherwise the server's, then cached. Undefined: it is not cached, and the server must not be asked. */
export async function keptOr(
  { answers, isReplay }: Keep,
  url: string,
  question: Question,
  ask: (question: Question) => Promise<Answer>,
): Promise<Kept | undefined> {
  const plain = answers.plainly(question)
  if (plain === undefined) return isReplay ? undefined : { answer: await ask(question), keeping: undefined }
  const found = await answers.find(url, plain)
  if (found !== undefined && (isReplay || found.isImmutable)) return { answer: found.answer(), keeping: undefined }
  if (isReplay) return undefined
  const answer = await ask({ ...plain, fields: [...plain.fields, ...(found?.validators ?? [])] })
  if (answer.status === 304 && found !== undefined) {
    answer.body.resume()
    return { answer: found.answer(), keeping: undefined }
  }
  return { answer, keeping: await answers.keep(url, plain, answer) }
}
