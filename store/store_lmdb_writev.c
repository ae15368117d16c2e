/*
 * store_lmdb_writev: keeps the store's pages apart in the kernel's memory. The
 * library writes neighbouring pages of a commit with one writev(2), which newer
 * kernels (6.16 on, ext4) then keep as one large folio; every later write of
 * one page in it walks the whole folio, 20 us instead of 2.5, and the ledger
 * rewrites single pages all the time. The library calls the executable's
 * writev, this one, and each page gets a folio of its own.
 */
#include <sys/uio.h>
#include <unistd.h>

__attribute__((visibility("default"))) ssize_t
writev(int fd, const struct iovec *parts, int count)
{
	ssize_t sum = 0, n;

	for (int i = 0; i < count; i++) {
		n = write(fd, parts[i].iov_base, parts[i].iov_len);
		if (n < 0)
			return sum > 0 ? sum : n;
		sum += n;
		if ((size_t)n < parts[i].iov_len)
			break;
	}
	return sum;
}
