variable "bucket" {
  description = "The bucket's name, without a dot."
  type        = string
}

variable "prefix" {
  description = "Mounts are of BUCKET/PREFIX: the prefix with a slash behind it; \"\" for the whole bucket."
  type        = string
  default     = ""
}

variable "kms" {
  description = "Encrypt with a KMS key of its own; mounts then need kms_key=."
  type        = bool
  default     = true
}

variable "user" {
  description = "An IAM user for build hosts that have no role; \"\" for none."
  type        = string
  default     = ""
}

variable "github_environments" {
  description = "Roles for GitHub Actions: the role's name, whose jobs may assume it, and whether they may write below releases/."
  type        = map(object({ repository = string, environment = string, releases = optional(bool, false) }))
  default     = {}
}

variable "presign_role_name" {
  description = "The read-only role whose sessions sign links."
  type        = string
  default     = "S3PresignedURLRole"
}
