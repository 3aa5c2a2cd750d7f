/** What the workflow is given: a reference, because the journal is no place for mails of 300 KB. */
export interface Mail {
  /** e.g. `spam-2.00017` */
  id: string;
  /** path inside the corpus */
  file: string;
}

export interface ParsedMail {
  subject: string;
  /** host of the sender's address */
  sender: string;
  /** host of the address that answers go to, where it differs from the sender's */
  replyTo?: string;
  /** plain text, of HTML mails without the markup; the first 4,000 characters */
  text: string;
  htmlOnly: boolean;
  bulkMailer: boolean;
}

/** Points of suspicion, and what they are for. */
export interface Findings {
  points: number;
  reasons: string[];
}

export type Verdict = 'inbox' | 'spam' | 'released' | 'expired';

export interface Triage {
  mail: string;
  verdict: Verdict;
  points: number;
  language: string;
  links: number;
}
