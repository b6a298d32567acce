/** Apart from the frames, so that a browser needs no schemas to open a socket. */
export const SUBPROTOCOL = 'live.v1';
/** `Sec-WebSocket-Protocol` entry that carries a browser's ticket. */
export const TICKET_PREFIX = 'ticket.';
