package hook

// DeliveryWrite is one conditional write of a delivery's row and what belongs
// to it, all or nothing.
type DeliveryWrite struct {
	// Delivery is the row to be. Its Rev is the new revision: the write is
	// made only where the row is at Rev-1, or, for Rev 1, where there is none.
	Delivery *Delivery
	// Attempt is what the write records; nil when nothing was attempted. The
	// first one is kept inside the row (Delivery.First), later ones beside it.
	Attempt *Attempt
	// DropDeadLetter is the id of an entry to remove; empty: none.
	DropDeadLetter string
	// AddDeadLetter is an entry to make; nil: none.
	AddDeadLetter *DeadLetter
}
