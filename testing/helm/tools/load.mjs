/** Imports a module of the packages that lie here. */
export const load = (name) => import(name);
