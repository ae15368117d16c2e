/*
 * store_lmdb_room: keeps written room behind the last page of the store. A page
 * that LMDB puts at the end of the file makes the file longer, and then each
 * flush has to commit the file system's journal as well, which costs more than
 * the pages: 40 % of the ledger's rate. So a commit that finds little room left
 * writes zeros behind the end first; its own flush takes them along. Only real
 * zeros help: what fallocate(2) reserves is still entered at its first write.
 *
 * Always holds: only the one writer calls it, between two transactions; pages
 * in use are never touched; when it fails, LMDB's own write will tell.
 */
#include <sys/stat.h>
#include <unistd.h>

#include "store/store_lmdb.h"

#define ROOM_LOW_BYTES (256 << 10)
#define ROOM_STEP_BYTES (1 << 20)
#define PAGE_BYTES 4096 /* one write each: see store_lmdb_writev.c */

void
lmdb_make_room(struct lmdb *lmdb)
{
	static const char zeros[PAGE_BYTES];
	MDB_envinfo info;
	MDB_stat stat;
	struct stat file;
	off_t used, end;
	int fd;

	if (mdb_env_info(lmdb->env, &info) != 0 ||
	    mdb_env_stat(lmdb->env, &stat) != 0)
		return;
	used = (off_t)(info.me_last_pgno + 1) * (off_t)stat.ms_psize;
	if (used + ROOM_LOW_BYTES <= lmdb->room_end ||
	    mdb_env_get_fd(lmdb->env, &fd) != 0 || fstat(fd, &file) != 0)
		return;
	lmdb->room_end = file.st_size > used ? file.st_size : used;
	if (used + ROOM_LOW_BYTES <= lmdb->room_end)
		return;
	end = lmdb->room_end + ROOM_STEP_BYTES;
	if (end > (off_t)info.me_mapsize)
		return;
	while (lmdb->room_end < end &&
	       pwrite(fd, zeros, sizeof(zeros), lmdb->room_end) ==
		   (ssize_t)sizeof(zeros))
		lmdb->room_end += (off_t)sizeof(zeros);
}
