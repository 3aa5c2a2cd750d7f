import { defineEvent } from 'nestjs-workflow';

export interface Trip {
  id: string;
  traveller: string;
  city: string;
  /** in the order in which they are asked for a room */
  hotels: string[];
}

export interface Itinerary {
  flight: string;
  car: string;
  hotel: string;
}

/** The traveller takes what was booked. */
export const Confirmed = defineEvent<{ by: string }>('confirmed');
