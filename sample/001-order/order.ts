export interface Order {
  id: string;
  items: string[];
  total: number;
  address: string;
}

export interface Receipt {
  chargeId: string;
  parcelId: string;
  label: string;
}
