// What @std/encoding declares for the functions re-exported beside this file.
export declare function encodeHex(src: string | Uint8Array | ArrayBuffer): string;
export declare function decodeHex(src: string): Uint8Array<ArrayBuffer>;
export declare function encodeBase64(data: string | Uint8Array | ArrayBuffer): string;
export declare function decodeBase64(b64: string): Uint8Array<ArrayBuffer>;
