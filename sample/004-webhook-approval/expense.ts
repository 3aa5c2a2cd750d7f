export interface Expense {
  id: string;
  by: string;
  boss: string;
  amount: number;
}

export type Decision = 'approved' | 'rejected' | 'expired';
