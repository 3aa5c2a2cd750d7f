/** The books of one day. */
export interface Day {
  /** as 2026-03-29 */
  day: string;
}

export interface StatementRequest extends Day {
  customer: string;
}

export interface Statement {
  customer: string;
  turnover: number;
}

export interface Report extends Day {
  customers: number;
  /** how many were written, and what they come to */
  statements: number;
  turnover: number;
  /** customers who have left */
  closed: string[];
  /** customers whose statement somebody has to look after */
  failed: string[];
}
