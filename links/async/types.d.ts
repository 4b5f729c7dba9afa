// What @std/async declares for the functions re-exported beside this file.
export interface DelayOptions {
  signal?: AbortSignal;
  persistent?: boolean;
}
export interface DeadlineOptions {
  signal?: AbortSignal;
}
export declare function delay(ms: number, options?: DelayOptions): Promise<void>;
export declare function deadline<T>(p: Promise<T>, ms: number, options?: DeadlineOptions): Promise<T>;
