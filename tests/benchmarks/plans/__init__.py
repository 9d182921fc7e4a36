"""What operations on plans do to posters of the embedded model, judged by codes and in drawn pictures."""
